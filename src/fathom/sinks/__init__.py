"""Other places where the numbers go."""
