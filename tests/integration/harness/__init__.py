"""Real daemons on this host, the links between them, and applications that use their device."""
