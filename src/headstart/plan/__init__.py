"""What to try, scored on the same folds, and which one ships."""
