"""Figures as SVG text, from plain numbers: no plotting library, the same numbers give the same bytes."""
