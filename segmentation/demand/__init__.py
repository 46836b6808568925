"""反向開發商品: what growing groups of customers want, against the part of the catalogue that serves it."""
