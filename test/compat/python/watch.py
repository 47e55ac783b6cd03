"""Records which public methods of a client were called, and insists on all of them."""


def watch(client, leave=()):
    """Wrap every public method of client; done() fails if one was never called."""
    called = set()
    names = [
        name for name in dir(type(client))
        if not name.startswith("_") and callable(getattr(client, name)) and name not in leave
    ]

    def wrap(name, method):
        def run(*args, **kwargs):
            called.add(name)
            return method(*args, **kwargs)
        return run

    for name in names:
        setattr(client, name, wrap(name, getattr(client, name)))

    def done():
        missing = sorted(set(names) - called)
        assert names and not missing, f"never called: {missing}"
        kind = type(client).__name__
        for name in sorted(called):
            print(f"called {kind}.{name}")
        print(f"{kind}: {len(names)} methods")

    return done
