# shellcheck shell=bash
# Completion of dkrepl for bash: install as /usr/share/bash-completion/completions/dkrepl
# (zsh: autoload -U bashcompinit && bashcompinit, then source this file)

_dkrepl_mirrors() {
    local etc=${DKREPL_ETC:-/etc/dkrepl} file
    for file in "$etc"/*.toml; do
        [[ -e $file ]] || continue
        file=${file##*/}
        printf '%s\n' "${file%.toml}"
    done
}

_dkrepl() {
    local current=${COMP_WORDS[COMP_CWORD]} command="" sub="" word words="" index
    COMPREPLY=()
    for ((index = 1; index < COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        case $word in
            --etc | --state | --run) index=$((index + 1)) ;;
            -*) ;;
            *) if [[ -z $command ]]; then command=$word; elif [[ -z $sub ]]; then sub=$word; fi ;;
        esac
    done
    case "$command $sub" in
        " ") words="key config init run status wait events intent verify pause resume resync reload switchover demote promote
                    resolve diverged clear exit-codes
                    --etc --state --run --debug --version --help" ;;
        "config ") words="check example diff adopt" ;;
        "key ") words="generate show replace" ;;
        "wait ") words="insync" ;;
        "diverged ") words="list export drop" ;;
        "intent ") words="show" ;;
        "exit-codes "*) words="--json --help" ;;
        "config example"*) words="--json --help" ;;
        "config adopt"*) words="--fenced --json --help $(_dkrepl_mirrors)" ;;
        "config check"*) words="--as --node --json --help $(_dkrepl_mirrors)" ;;
        "key replace"*) words="--json --help" ;;
        "key "*) words="--next --json --help" ;;
        "init "*) words="--node --keep-data --overwrite-data --json --help $(_dkrepl_mirrors)" ;;
        "run "*) words="--node --help $(_dkrepl_mirrors)" ;;
        "status "*) words="--json --watch --help $(_dkrepl_mirrors)" ;;
        "wait insync"*) words="--timeout --json --help $(_dkrepl_mirrors)" ;;
        "events "*) words="--since --follow --json --help $(_dkrepl_mirrors)" ;;
        "intent show"*) words="--all --json --help $(_dkrepl_mirrors)" ;;
        "resync "*) words="--full --json --help $(_dkrepl_mirrors)" ;;
        "switchover "*) words="--to --timeout --json --help $(_dkrepl_mirrors)" ;;
        "resolve "*) words="--keep --discard --json --help $(_dkrepl_mirrors)" ;;
        "clear "*) words="store-failed forced-promotion --json --help $(_dkrepl_mirrors)" ;;
        "promote "*) words="--dry-run --fenced --force --json --help $(_dkrepl_mirrors)" ;;
        *) words="--json --help $(_dkrepl_mirrors)" ;;
    esac
    if [[ $current != -* ]]; then
        words=$(tr -s ' ' '\n' <<<"$words" | grep -v '^-')
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -F _dkrepl dkrepl
