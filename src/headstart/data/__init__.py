"""What the user has: items, labels, groups; folders and tables; splits."""
