"""What was learned before: the catalogue, and one provider per origin."""
