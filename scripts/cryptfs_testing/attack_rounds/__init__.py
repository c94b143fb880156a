"""`scripts/attack-rounds`: a random attacker on the backing folder of a live mount."""


class Wrong(Exception):
    """The mount showed what never was, or something suffered that no attack concerned."""
