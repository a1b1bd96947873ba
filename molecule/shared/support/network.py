"""Cuts the network between nodes, in one direction or both, by dropping what arrives at one from another."""

from __future__ import annotations

from support.nodes import LAB
from tests.lab.container import cuts_of

CUTS = cuts_of(LAB)
deafen, part, heal = CUTS.deafen, CUTS.part, CUTS.heal
