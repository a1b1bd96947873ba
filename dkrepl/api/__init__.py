"""What a daemon can be asked over its control socket, and what it answers: shared by daemon, command line and tests.

Answers may gain fields, so whoever reads one passes over those it does not know. A request with a field that the daemon
does not know is refused: an option that it ignored might be the one that was to keep it from acting.
"""
