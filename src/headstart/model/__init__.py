"""The artefact: layout, save, load, predict."""
