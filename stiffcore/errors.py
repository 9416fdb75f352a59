"""The one error that a user can repair, and that pages and the command line show as a sentence."""


class CannotCompute(Exception):
    """A request that cannot be met; the message says what was expected, what came, and what to do."""


class Cancelled(Exception):
    """A computation stopped between two of its stages because its last watcher asked for it."""
