"""The one kind of error that Slipway raises."""


class SlipwayError(Exception):
    """Something a person can put right; its text is one line that says how."""
