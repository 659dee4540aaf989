"""Fronts: how a window of sound becomes a graph's input. Below engines and features, because both prepare sounds."""

from headstart.fronts.inputs import prepare

__all__ = ["prepare"]
