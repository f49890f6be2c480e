"""Big Transfer (BiT): the model, its data, its training and its predictions, in JAX."""
