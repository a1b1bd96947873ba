"""What a daemon can be asked over its control socket, and what it answers: shared by daemon, command line and tests.

Answers may gain fields; readers ignore those they do not know. A request with a field that the daemon does not know is
refused, because the unknown option may have been meant to keep the daemon from acting.
"""
