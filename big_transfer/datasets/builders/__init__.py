"""Datasets of our own; importing one of these modules registers its builder with TFDS."""
