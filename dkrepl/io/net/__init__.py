"""The network between nodes, over ZeroMQ.

The source: ``source_sockets.py``; everybody else: ``control_port_socket.py`` to be asked, ``target_sockets.py`` to ask
and to follow. Every socket speaks CURVE, unless the description says security = "none": ``access.py``, ``zap.py``. What
a peer is called follows from its key; a frame under another name is dropped, and its connection closed: ``sender.py``.
"""
