/*
 * The alarm of the event loop: threads arm timers and lower the alarm, the loop takes it, fires and sets it again.
 * Mirrors LoopWords.lowerAlarm, LoopHandles.setDescriptor and LoopHandles.alarmed; one step here is one atomic operation or system call there.
 *
 * Time is a number that moves on at any moment. The timerfd is `descriptor`, the moment it is set to, and `readable`.
 *
 * Holds: whenever all are at rest, the descriptor is set to the earliest published timer or before, so that none is late or lost.
 * Bounded: 3 threads that arm one timer each, 4 moments. 1.9e6 states.
 * Mistakes that must be found:
 * -DNO_RECHECK [descriptor<=published]  the descriptor is set once, not again while someone wants it earlier
 * -DTAKE_LATE [descriptor<=published]  the loop takes the alarm after it has looked up what is due
 * -DPLAIN_LOWER [descriptor<=published]  the alarm is lowered by a load and a store
 * -DLOOK_FIRST [descriptor<=published]  the alarm is looked at before the timer is published, as a processor may do with a plain load
 */
#define NEVER 9
#define THREADS 3

byte now = 0;
byte published[THREADS]; /* due moment of each thread's timer; NEVER: fired */
byte alarm = NEVER;
byte descriptor = NEVER; /* NEVER: not set, or expired */
bool readable = false;
byte armed = 0; /* threads that are done */
bool loopRests = true;

/* timerfd_settime: earlier expirations are forgotten, a past moment expires at once. */
inline settime(at) {
  d_step {
    readable = (at <= now);
    descriptor = (at <= now -> NEVER : at)
  }
}

/* LoopHandles.setAlarm */
inline setAlarm(due) {
#ifdef PLAIN_LOWER
  old = alarm;
  if
  :: due < old -> alarm = due
  :: else
  fi;
#else
  d_step { old = alarm; if :: due < old -> alarm = due :: else fi }
#endif
  if
  :: due < old ->
    at = due;
    do
    :: true ->
      settime(at);
#ifdef NO_RECHECK
      break
#else
      wanted = alarm;
      if
      :: wanted >= at -> break
      :: else -> at = wanted
      fi
#endif
    od
  :: else
  fi
}

proctype Arm(byte id; byte due) {
  byte old, at, wanted;
#ifdef LOOK_FIRST
  bool skips;
  skips = (alarm <= due);
  published[id] = due;
  if
  :: !skips -> setAlarm(due)
  :: else
  fi;
#else
  published[id] = due;
  setAlarm(due);
#endif
  armed++
}

active proctype Loop() {
  byte old, at, wanted, next, i;
end:
  do
  :: atomic { readable -> loopRests = false };
    readable = false; /* read(timerfd) */
#ifndef TAKE_LATE
    alarm = NEVER;
#endif
    next = NEVER;
    for (i : 0 .. THREADS - 1) {
      /* One shard: fires what is due, and looks what is next, under its lock. */
      d_step {
        if
        :: published[i] <= now -> published[i] = NEVER
        :: else
        fi;
        if
        :: published[i] < next -> next = published[i]
        :: else
        fi
      }
    }
#ifdef TAKE_LATE
    alarm = NEVER;
#endif
    if
    :: next < NEVER -> setAlarm(next)
    :: else
    fi;
    loopRests = true
  od
}

/* Time passes, at any moment, up to the last due one. */
active proctype Time() {
  do
  :: now < 4 ->
    d_step {
      now++;
      if
      :: descriptor <= now -> descriptor = NEVER; readable = true
      :: else
      fi
    }
  :: now == 4 -> break
  od
}

/* At any moment at which all are at rest: see "Holds". */
active proctype Check() {
  atomic {
    armed == THREADS && loopRests && !readable ->
    assert(descriptor <= published[0] && descriptor <= published[1] && descriptor <= published[2])
  }
}

init {
  atomic {
    published[0] = NEVER; published[1] = NEVER; published[2] = NEVER;
    run Arm(0, 3);
    run Arm(1, 1);
    run Arm(2, 2)
  }
}
