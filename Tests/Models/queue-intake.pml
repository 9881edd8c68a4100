/*
 * A queue's intake: publishers push without the lock; whoever has the lock takes all. Mirrors QueuePlace.push, Broker.put and Broker.serve, Receiver.takeNow with a sleep, QueuePlace.wakeReceivers
 * and wakeBySelf, Broker.endTurn with JobConsumer's jobs. One step here is one atomic operation there; a futex wait is one step that looks and sleeps.
 *
 * PUBLISHERS publish one message each. RECEIVERS take until all were taken; with -DJOBS nobody takes, and consumers are jobs that the publishers serve.
 *
 * Holds: nobody sleeps while a message is there that no one else is about to see to: at the end each message was taken. (A lost wake-up is an invalid end state.)
 * With -DASKERS receivers have no thread that could sleep: they are told by a call. Mirrors Receiver.whenMessage and Broker.tellMessages.
 *
 * Bounded: 3 publishers and 2 receivers, with a thread or without; 3 publishers with jobs, and one who looks at the queue twice.
 * +DJOBS  consumers are jobs, which the publishers serve.
 * +DASKERS  receivers are told.
 * +DASKERS +DONCE  the second one only looks once.
 * Mistakes that must be found:
 * -DLOOK_BEFORE_NEED [end]  the receiver looks at the intake for the last time before it says that it sleeps
 * -DSEEN_LATE [end]  it reads the word that it sleeps on after that last look
 * -DWAKE_BEFORE_PUSH [end]  the publisher looks who sleeps before it pushes
 * -DASKERS -DONCE -DLOOK_BEFORE_ASK [end]  who asks looks at the intake before the publishers can see that somebody asks
 * -DASKERS -DTELL_BEFORE_PUSH [end]  the publisher looks who asks before it pushes
 * -DASKERS -DCLEAR_LATE [end]  who tells takes those that wait first, and then says that nobody asks
 * -DASKERS -DONCE -DCLEAR_ALWAYS [end]  who finds a message says that nobody asks, though another one waits
 * -DJOBS -DNO_LOOK_AFTER [taken]  who had the lock does not look at the intake after giving it back
 * -DJOBS -DTRY_BEFORE_PUSH [taken]  the publisher tries the lock before it pushes
 * -DJOBS -DLEFT_TO_LOOKERS [taken]  the publisher leaves its message to a holder who only looks (SpinLock.lockToLook)
 */
#ifndef PUBLISHERS
#define PUBLISHERS 3
#endif
#define RECEIVERS 2

byte intake = 0, queue = 0, taken = 0;
/* 0 free, 1 taken by who will look at the intake, 2 by who does not. */
byte lock = 0;
byte needs = 0, arrivals = 0;
bool sleeps[RECEIVERS];
#ifdef ASKERS
/* Somebody asks; who waits to be told, and who was. */
bool asks = false;
bool waits[RECEIVERS], told[RECEIVERS];

inline callAll() {
  d_step {
    if :: waits[0] -> waits[0] = false; told[0] = true :: else fi;
    if :: waits[1] -> waits[1] = false; told[1] = true :: else fi
  }
}

inline tell() {
  if
  :: asks ->
     d_step { lock == 0 -> lock = 2 };
#ifdef CLEAR_LATE
     lock = 0;
     callAll();
     asks = false
#else
     asks = false;
     lock = 0;
     callAll()
#endif
  :: else
  fi
}
#endif

inline wake() {
  /* The claim is a CAS, then the word changes, then the kernel wakes one of those that sleep on it. */
  do
  :: needs == 0 -> break
  :: d_step { needs > 0 -> needs-- };
     arrivals++;
     if
     :: sleeps[0] -> sleeps[0] = false
     :: sleeps[1] -> sleeps[1] = false
     :: !sleeps[0] && !sleeps[1]
     fi;
     break
  od
}

inline serve() {
  do
  :: intake == 0 -> break
  :: else ->
     if
     :: d_step { lock == 0 -> lock = 1 };
        d_step { queue = queue + intake; intake = 0 };
        d_step { taken = taken + queue; queue = 0 };
        lock = 0
#ifdef NO_LOOK_AFTER
        ; break
#endif
     :: lock == 1 -> break
#ifdef LEFT_TO_LOOKERS
     :: lock == 2 -> break
#endif
     fi
  od
}

proctype Publisher() {
  bool could = true;
#ifdef WAKE_BEFORE_PUSH
  wake();
#endif
#ifdef TRY_BEFORE_PUSH
  could = (lock == 0);
#endif
#ifdef TELL_BEFORE_PUSH
  tell();
#endif
  intake++;
#ifdef ASKERS
#ifndef TELL_BEFORE_PUSH
  tell()
#endif
#elif defined(JOBS)
  if
  :: could -> serve()
  :: else
  fi
#else
#ifndef WAKE_BEFORE_PUSH
  wake()
#endif
#endif
}

#ifdef ASKERS
proctype Receiver(byte I) {
  bool sees;
  do
  :: taken == PUBLISHERS -> break
  :: else ->
     d_step { lock == 0 -> lock = 2 };
#ifdef LOOK_BEFORE_ASK
     sees = intake > 0;
#endif
     asks = true;
#ifndef LOOK_BEFORE_ASK
     sees = intake > 0;
#endif
     if
     :: sees || queue > 0 ->
#ifdef CLEAR_ALWAYS
        asks = false;
#else
        d_step { if :: !waits[0] && !waits[1] -> asks = false :: else fi };
#endif
        lock = 0;
        /* It takes what is there. */
        d_step { lock == 0 -> lock = 1 };
        d_step { queue = queue + intake; intake = 0 };
        d_step { taken = taken + queue; queue = 0 };
        lock = 0
     :: else ->
#ifdef ONCE
        if :: I == 1 -> lock = 0; break :: else fi;
#endif
        d_step { told[I] = false; waits[I] = true };
        lock = 0;
        /* By a publisher, or by whoever ends the test. */
        told[I] || taken == PUBLISHERS
     fi;
#ifdef ONCE
     if :: I == 1 -> break :: else fi
#endif
  od
}
#elif !defined(JOBS)
proctype Receiver(byte I) {
  byte seen, own;
  bool sees;
  do
  :: taken == PUBLISHERS -> break
  :: else ->
     d_step { lock == 0 -> lock = 2 };
     lock = 1;
     d_step { queue = queue + intake; intake = 0 };
     d_step { own = queue; taken = taken + own; queue = 0 };
     if
     :: own > 0 || taken == PUBLISHERS -> lock = 0
     :: else ->
#ifdef LOOK_BEFORE_NEED
        sees = intake > 0;
#endif
        needs++;
#ifndef SEEN_LATE
        seen = arrivals;
#endif
        lock = 0;
#ifndef LOOK_BEFORE_NEED
        sees = intake > 0;
#endif
#ifdef SEEN_LATE
        seen = arrivals;
#endif
        if
        :: sees -> d_step { if :: needs > 0 -> needs-- :: else fi }
        :: else ->
           if
           :: d_step { arrivals == seen -> sleeps[I] = true };
              /* Woken by a publisher, or by whoever ends the test. */
              !sleeps[I] || taken == PUBLISHERS
           :: d_step { arrivals != seen -> if :: needs > 0 -> needs-- :: else fi }
           fi
        fi
     fi
  od
}
#endif

#ifdef JOBS
/* Asks for the queue's name, or for room. */
proctype Looker() {
  d_step { lock == 0 -> lock = 2 };
  lock = 0;
  d_step { lock == 0 -> lock = 2 };
  lock = 0
}
#endif

init {
  byte i;
  atomic {
    for (i : 1 .. PUBLISHERS) { run Publisher() }
#ifdef JOBS
    run Looker()
#else
    for (i : 1 .. RECEIVERS) { run Receiver(i - 1) }
#endif
  }
#ifdef JOBS
  _nr_pr == 1;
  assert(taken == PUBLISHERS && queue == 0 && intake == 0)
#endif
}
