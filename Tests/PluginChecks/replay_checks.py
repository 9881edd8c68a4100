"""The replay plugin: both modes, settings, bounds."""

from driver import attempt, check


def replay(value, *settings, **options):
    return attempt("replay", "task", value=value, set=list(settings), **options)


def init_refuses(*settings):
    end = replay({"seconds": 0}, *settings)
    return end.status == "init" and settings[-1].split("=")[0] in end.message


def run_all():
    for settings in ([], ["replay.mode=wait"], ["replay.mode=burn", "replay.time-scale=0"]):
        end = replay({"seconds": 5 if settings[-1:] == ["replay.time-scale=0"] else 0}, *settings)
        check(end.status == "done" and end.wall < 4 and end.json()["replayed"] == 0, f"length 0 completes at once: {settings} {end}")
    end = replay({"seconds": 0.4, "other": 1})
    check(
        end.status == "done"
        and 0.4 <= end.wall < 60
        and end.cpu > 0.1
        and end.json() == {"seconds": 0.4, "replayed": 0.4}
        and end.beats > 2,
        f"burn uses CPU: {end.wall} {end.cpu} {end.beats}",
    )
    end = replay({"seconds": 40}, "replay.mode=wait", "replay.time-scale=0.01")
    check(
        end.status == "done" and 0.4 <= end.wall < 60 and end.cpu < 0.3 and end.json() == {"seconds": 40, "replayed": 0.4},
        f"wait completes by the timer: {end.wall} {end.cpu}",
    )
    for mode in ("burn", "wait"):
        end = replay({"seconds": 300}, f"replay.mode={mode}", cancel_after=300)
        check(end.status == "cancelled" and end.wall < 60, f"{mode} can be cancelled: {end} {end.wall}")
    for value in (None, {}, [], {"seconds": -1}, {"seconds": "1"}, {"seconds": 1e300}, {"seconds": 31536001}):
        end = replay(value)
        check(end.status == "failed" and end.error == "bad-input", f"{value}: {end}")
    check(replay({"seconds": 31536000}, "replay.time-scale=2").error == "bad-input", "scaled beyond a year")
    for setting in (
        "replay.mode=fast",
        "replay.mode=",
        "replay.time-scale=",
        "replay.time-scale=-1",
        "replay.time-scale=nan",
        "replay.time-scale=1e7",
        "replay.time-scale=1x",
        "replay.time-scale=inf",
    ):
        check(init_refuses(setting), f"init refuses {setting}")
    attempt("replay", "task", value={"seconds": 0.001}, set=["replay.time-scale=0.000001"], mutate="3:2000")
