"""Closed-form learning on arrays: moments, ridge, logistic, class means, nearest neighbours, boosted trees."""
