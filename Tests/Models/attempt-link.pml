/*
 * The gate of an attempt that a Swift task holds (AttemptLink): the worker that called the handler, the task, a canceller, a heartbeat, and whoever frees the attempt.
 *
 * Holds: exactly one of worker and task says how the attempt ended. The attempt is used by nobody once it is freed, the task cancelled by nobody once it has
 * ended. Who asks the attempt to stop before its task begins to end has cancelled the task.
 * Bounded: one of each.
 * Mistakes that must be found:
 * -DNO_WAIT [!(taskEnded)]  whoever closes does not wait for those inside
 * -DNO_GATE [!(taskEnded)]  a canceller does not enter
 * -DLOOK_FIRST [said]  the worker looks whether the task has ended, and then says that it waits, in two steps
 * -DNO_LOOK [cancelled]  the task does not look whether it should stop when it begins
 */
bit shut, hasTask, stopped, ended, pending;   /* bits of the word */
byte inside;
bit freed, taskEnded, cancelled, stopDone, tooLate;
byte said;
bit settled;           /* the attempt's end has been said: it may be freed */

#ifdef NO_WAIT
#define close() shut = 1
#else
#define close() shut = 1; inside == 0
#endif

proctype worker() {
  bit wasEnded;
#ifdef LOOK_FIRST
  wasEnded = ended;
  pending = 1;
#else
  d_step { wasEnded = ended; pending = 1 }
#endif
  if :: wasEnded -> said++; settled = 1 :: else fi
}

proctype task() {
  bit was;
  d_step { was = stopped; hasTask = 1 }
#ifndef NO_LOOK
  if :: was -> cancelled = 1 :: else fi
#endif
  d_step { tooLate = !stopDone }
  close();
  assert(cancelled || tooLate);
  d_step { was = pending; ended = 1 }
  if :: was -> said++; settled = 1 :: else fi
  taskEnded = 1
}

proctype stopper() {
  bit wasShut, had, was;
#ifndef NO_GATE
  d_step { inside++; wasShut = shut }
  if :: wasShut -> inside--; goto out :: else fi;
#endif
  d_step { had = hasTask; was = stopped; stopped = 1 }
  if :: had && !was -> assert(!taskEnded); cancelled = 1 :: else fi;
  stopDone = 1;
#ifndef NO_GATE
  inside--;
#endif
out: skip
}

proctype heartbeat() {
  bit wasShut;
  d_step { inside++; wasShut = shut }
  if :: wasShut -> inside--; goto out :: else fi;
  assert(!freed);
  inside--;
out: skip
}

/* The host may free an attempt whose end has been said; at shutdown one whose handler has returned as well. */
proctype owner() {
  settled || pending;
  close();
  freed = 1
}

init {
  atomic { run worker(); run task(); run stopper(); run heartbeat(); run owner() }
  _nr_pr == 1;
  assert(said == 1)
}
