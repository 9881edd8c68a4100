"""The bench plugin: lengths by input and by setting, bounds, cancellation."""

from driver import attempt, check


def bench(handler, value, *settings, **options):
    return attempt("bench", handler, value=value, set=list(settings), **options)


def run_all():
    for handler in ("empty", "burn", "spin"):
        end = bench(handler, None)
        check(end.status == "done" and end.output == b"", f"{handler} without a length is done at once: {end}")
    for end in (bench("burn", {"nanoseconds": 4e8}), bench("burn", None, "bench.nanoseconds=400000000"), bench("burn", {}, "bench.nanoseconds=4e8")):
        check(end.status == "done" and 0.4 <= end.wall < 60 and end.cpu > 0.1, f"burn uses CPU for its length: {end} {end.wall} {end.cpu}")
    end = bench("burn", {"nanoseconds": 0}, "bench.nanoseconds=3e12")
    check(end.status == "done" and end.wall < 60, f"the input goes before the setting: {end}")
    end = bench("spin", None, "bench.rounds=100000000")
    check(end.status == "done" and end.cpu > 0.01, f"spin does its rounds: {end} {end.cpu}")
    end = bench("burn", {"nanoseconds": 3e11}, cancel_after=300)
    check(end.status == "cancelled" and end.wall < 60, f"burn can be cancelled: {end} {end.wall}")
    for value in ([], {"nanoseconds": -1}, {"nanoseconds": "1"}, {"nanoseconds": 4e12}, {"seconds": 1}):
        end = bench("burn", value)
        check(end.status == "failed" and end.error == "bad-input", f"{value}: {end}")
    for setting in ("bench.nanoseconds=-1", "bench.nanoseconds=4e12", "bench.nanoseconds=", "bench.rounds=nan", "bench.rounds=1e13", "bench.rounds=1x"):
        end = bench("empty", None, setting)
        check(end.status == "init" and setting.split("=")[0] in end.message, f"init refuses {setting}: {end}")
