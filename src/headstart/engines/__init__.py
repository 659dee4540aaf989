"""How a frozen graph runs fast on this machine."""
