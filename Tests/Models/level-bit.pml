/*
 * Jobs on their way past the bits: ReadySet.append, take, deactivate, retire, and the moves of a worker between queue, buffer and cache (Worker.choose,
 * adopt), with sleep and wake as parking.pml has shown them to be: one step each. A worker that has a job in its handler stays there while any job is ready.
 *
 * Holds: no job is left behind a cleared bit while nobody looks, nor beside a worker that sleeps.
 * Mistakes that must be found:
 * -DNO_SECOND_LOOK  a bit is cleared without another look
 * -DNO_ANNOUNCE  a tenant's bit is set again, but not its level's
 * -DMISSED_UNTOLD  a worker that sets a bit again tells nobody
 * -DADOPTED_UNTOLD  a worker that takes jobs from queue to cache tells nobody
 */
#define WORKERS 2

byte queue;             /* jobs of one tenant and priority */
bit live, level;      /* the tenant's bit, the level's bit */
byte cache[WORKERS];    /* stealable jobs */
byte private;           /* jobs between two places */
byte mask, search;      /* Parking */
byte busy;              /* workers in handlers */

#define READY (queue + cache[0] + cache[1] + private > 0)

/* parking.notify() */
inline notify() {
  atomic {
    if
    :: search == 0 && mask != 0 -> search++; if :: mask & 1 -> mask = mask & 2 :: else -> mask = 0 fi
    :: else
    fi
  }
}
/* announce(priority:): a look, then a locked instruction only if needed */
inline announce() { if :: level == 0 -> level = 1 :: else fi }

proctype producer(byte n) {
  atomic { queue = queue + n };                       /* queue.append: one CAS for the batch */
  if :: live == 0 -> live = 1 :: else fi;         /* activate */
  announce();
  notify()
}

proctype worker(byte i) {
  bit searching, prepared, last;
  byte got;
  do
  :: true ->
begin:
    if :: level == 0 && cache[i] == 0 -> goto nothing :: else fi;
    /* the own cache */
    atomic { if :: cache[i] > 0 -> cache[i]--; got = 1; goto found :: else fi };
take:
    if :: live == 0 -> goto steal :: else fi;
    atomic { if :: queue > 2 -> queue = queue - 2; got = 2 :: else -> got = queue; queue = 0 fi; private = private + (got > 1 -> got - 1 : 0) };
    if
    :: got < 2 ->                                     /* fewer than asked for: deactivate */
      live = 0;
#ifndef NO_SECOND_LOOK
      if
      :: queue > 0 ->
        live = 1;
#ifndef NO_ANNOUNCE
        announce();
#endif
#ifndef MISSED_UNTOLD
        notify()
#endif
      :: else
      fi
#endif
    :: else
    fi;
    if
    :: got == 0 -> goto take
    :: got == 1 -> goto found
    :: got == 2 ->                                    /* adopt */
      atomic { private--; cache[i]++ };
      announce();
#ifndef ADOPTED_UNTOLD
      notify();
#endif
      goto found
    fi;
steal:
    atomic { if :: cache[1 - i] > 0 -> cache[1 - i]--; got = 1; goto found :: else fi };
    level = 0;                                        /* retire */
#ifndef NO_SECOND_LOOK
    if
    :: live != 0 || cache[0] > 0 || cache[1] > 0 ->
      level = 1;
#ifndef MISSED_UNTOLD
      notify()
#endif
    :: else
    fi;
#endif
nothing:
    if
    :: prepared -> goto end_sleep                  /* that was the second look */
    :: else
    fi;
    if
    :: !searching -> search++; searching = 1; goto begin   /* beginSearch */
    :: atomic { mask = mask | (1 << i); search = search - searching; searching = 0; prepared = 1 };  /* prepareToSleep */
      goto begin
    fi;
end_sleep:
    !(mask & (1 << i));
    atomic { searching = 1; prepared = 0 };           /* the waker has counted us */
    goto again;
found:
    got = 0;
    /* cancelSleep: by itself, or somebody was about to wake us */
    atomic { if :: prepared -> if :: mask & (1 << i) -> mask = mask & ~(1 << i); search++ :: else fi; searching = 1; prepared = 0 :: else fi };
    if
    :: searching -> atomic { assert(search > 0); search--; searching = 0; last = (search == 0) };
      if :: last && level -> notify() :: else fi
    :: else
    fi;
    busy++; (!READY || busy == WORKERS); busy--;      /* the handler */
again: skip
  od
}

active proctype monitor() { timeout -> assert(!READY) }

init { atomic { run worker(0); run worker(1); run producer(1); run producer(2); run producer(1) } }
