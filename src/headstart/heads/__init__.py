"""Learning on arrays: from features (n, d) and targets to scores, with scores of each item left out.

    ridge      exact leave-one-out for every penalty (loo), from one eigenbasis; moments that add and subtract
    logistic   multinomial or one a label, in the same eigenbasis
    kernel     kernel ridge on cosines, exact leave-one-out
    means      shrunk class means on rows of unit length (cosines), exact leave-one-out (discriminant)
    weighted   logistic regression on blocks of columns, each scaled by its marginal likelihood (block_weights)
    knn        nearest neighbours by cosine
    boosted_trees and others: see their modules

A head scales its columns itself (scaling), walks the items in chunks (rows), and holds no fitted state. Ridge and
logistic regression end as one affine map of the features as they come (linear), class means as one of unit rows.
"""
