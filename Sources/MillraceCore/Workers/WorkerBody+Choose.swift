/// Which job is next: the next-job slot, the own cache, the tenants' queues, other workers' caches.
extension WorkerBody {
  /// The job to start next; nil if there is none that this worker may start now.
  @inline(__always) func pick() -> UInt32? {
    let occupied = unsafe own.pointee.ready.occupied()
    let next = unsafe own.pointee.next
    if next != Slab.none {
      // The common case of a chain: nothing is more urgent than what has just become ready here. A worker with such a job has a slot.
      let levels = unsafe (occupied | own.pointee.cached) &>> UInt64(truncatingIfNeeded: own.pointee.nextPriority)
      if levels <= 1, unsafe own.pointee.starts & 63 != 63 && own.pointee.hasSlot {
        unsafe own.pointee.next = Slab.none
        return next
      }
    } else if unsafe own.pointee.cached != 0 && own.pointee.starts & 63 != 63 && own.pointee.hasSlot {
      // As common: nothing is more urgent than what is in the own cache.
      let priority = unsafe 63 &- own.pointee.cached.leadingZeroBitCount
      if occupied &>> UInt64(truncatingIfNeeded: priority) <= 1 {
        let cache = cache(priority)
        let job = unsafe own.pointee.deep ? cache.popYoungest(fenced: own.pointee.fenced) : cache.popPlainly(fenced: own.pointee.fenced)
        if let job { return job }
      }
    }
    return pickSlowly(occupied)
  }

  @inline(never) private func pickSlowly(_ seen: UInt64) -> UInt32? {
    var occupied = seen
    while occupied & ReadySet.completionsBit != 0, settleCompleted() { occupied = unsafe own.pointee.ready.occupied() }
    if occupied & ReadySet.stopBit != 0 { return nil }
    if unsafe !own.pointee.hasSlot {
      guard unsafe own.pointee.scheduler.takeSlot() else {
        stash()
        return nil
      }
      unsafe own.pointee.hasSlot = true
    }
    return choose(occupied & 0xF)
  }

  /// Puts the next-job slot where others see it.
  func stash() {
    let job = unsafe own.pointee.next
    if job == Slab.none { return }
    unsafe own.pointee.next = Slab.none
    unsafe keep(job, priority: own.pointee.nextPriority)
  }

  /// Into the cache if there is room, else back to its tenant's queue.
  func keep(_ index: UInt32, priority: Int) {
    let cache = cache(priority)
    if cache.room > 0 {
      unsafe own.pointee.cached |= 1 &<< UInt64(priority)
      if unsafe cache.push(index, fenced: own.pointee.fenced) { unsafe own.pointee.ready.announce(priority: priority) }
    } else {
      unsafe own.pointee.scheduler.enqueue(index, &own.pointee.nodeCache)
    }
    // Nobody could see the job until now, and whoever looked for it may sleep.
    unsafe own.pointee.parking.notify()
  }

  @inline(__always) private func choose(_ occupied: UInt64) -> UInt32? {
    var levels = unsafe occupied | own.pointee.cached
    if unsafe own.pointee.next != Slab.none { levels |= 1 &<< UInt64(truncatingIfNeeded: unsafe own.pointee.nextPriority) }
    // Every 64th start is the lowest level's, so that an endless load of higher priority cannot hold it up for ever.
    let aged = unsafe own.pointee.starts & 63 == 63
    while levels != 0 {
      let priority = aged ? levels.trailingZeroBitCount : 63 - levels.leadingZeroBitCount
      let bit: UInt64 = 1 &<< UInt64(priority)
      if let job = choose(priority: priority, mixed: levels != bit, aged: aged) {
        if unsafe own.pointee.next != Slab.none { stash() }
        return job
      }
      levels &= ~bit
    }
    return nil
  }

  /// A job of one level: the next-job slot, the own cache, the tenants' queues, other workers' caches. An aged start takes what waits in the queues
  /// before what has just become ready here, so that a chain without an end does not hold it up; now and then one takes the oldest of the cache.
  @inline(__always) private func choose(priority: Int, mixed: Bool, aged: Bool) -> UInt32? {
    let bit: UInt64 = 1 &<< UInt64(truncatingIfNeeded: priority)
    let hasNext = unsafe own.pointee.next != Slab.none && own.pointee.nextPriority == priority
    if hasNext {
      if !aged { return takeNext() }
      let oldest = unsafe own.pointee.starts & WorkerBody.rarely == WorkerBody.rarely
      return (oldest ? takeCached(priority, deep: false) : nil) ?? fetchOne(priority) ?? takeNext()
    }
    if unsafe own.pointee.cached & bit != 0 {
      let oldest = unsafe own.pointee.starts & WorkerBody.rarely == WorkerBody.rarely
      if let job = takeCached(priority, deep: unsafe own.pointee.deep && !oldest) { return job }
    }
    return fetch(priority, single: mixed && aged)
  }

  /// The oldest job of the own cache, or the youngest if the front is a tree's.
  @inline(__always) private func takeCached(_ priority: Int, deep: Bool) -> UInt32? {
    let cache = cache(priority)
    while !cache.isEmptyForOwner {
      if deep, let job = unsafe cache.popYoungest(fenced: own.pointee.fenced) { return job }
      guard let job = unsafe cache.pop(fenced: own.pointee.fenced) else { continue }
      if job & WorkerCache.announce != 0 {
        unsafe own.pointee.ready.announce(priority: priority)
        unsafe own.pointee.parking.notify()
      }
      return job & ~WorkerCache.announce
    }
    unsafe own.pointee.cached &= ~(1 &<< UInt64(truncatingIfNeeded: priority))
    unsafe own.pointee.deep = false
    return nil
  }

  /// The job that was handed over directly. Its record is asked for while the word that names it is on its way.
  @inline(__always) private func takeHanded(_ priority: Int) -> UInt32? {
    unsafe own.pointee.ready.takeHanded(priority: priority) { job($0).prefetch() }
  }

  /// A job of the tenants' queues, no more.
  @inline(never) private func fetchOne(_ priority: Int) -> UInt32? {
    if let job = takeHanded(priority) { return job }
    let buffer = unsafe own.pointee.buffer
    let taken = unsafe own.pointee.ready.take(priority: priority, upTo: 1, into: buffer, &own.pointee.nodeCache)
    return unsafe taken > 0 ? buffer[0] : nil
  }

  @inline(__always) private func takeNext() -> UInt32 {
    let job = unsafe own.pointee.next
    unsafe own.pointee.next = Slab.none
    return job
  }

  /// A job of the tenants' queues or of other workers' caches.
  @inline(never) private func fetch(_ priority: Int, single: Bool) -> UInt32? {
    if let job = takeHanded(priority) { return job }
    // With several levels in use, an order by key, or handlers that go on elsewhere, nothing is taken ahead: what waits stays where everybody looks first.
    let wentOn = unsafe own.pointee.starts &- own.pointee.wentOnAt < WorkerBody.memory
    let limit = unsafe single || own.pointee.isOrdered || wentOn ? 1 : WorkerBody.ahead
    let buffer = unsafe own.pointee.buffer
    let taken = unsafe own.pointee.ready.take(priority: priority, upTo: limit, into: buffer, &own.pointee.nodeCache)
    if taken > 0 {
      if taken > 1 { adopt(taken, priority) }
      return unsafe buffer[0]
    }
    let stolen = steal(priority)
    if stolen > 0 {
      if stolen > 1 { adopt(stolen, priority) }
      return unsafe buffer[0]
    }
    unsafe own.pointee.ready.retire(priority: priority, cached: { unsafe own.pointee.scheduler.isCached(priority) })
    return nil
  }

  /// Puts all but the first of the buffer into the own cache, which is empty.
  @inline(__always) private func adopt(_ count: Int, _ priority: Int) {
    let cache = cache(priority)
    let buffer = unsafe own.pointee.buffer
    // An offer that nobody has taken yet still has its places.
    let fit = min(count &- 1, cache.room)
    for i in 0..<fit {
      let index = unsafe buffer[i &+ 1]
      job(index).prefetch()
      cache.put(index, at: i)
    }
    for i in fit &+ 1..<count { unsafe own.pointee.scheduler.enqueue(buffer[i], &own.pointee.nodeCache) }
    if fit > 0 {
      unsafe own.pointee.cached |= 1 &<< UInt64(truncatingIfNeeded: priority)
      if unsafe cache.publish(fit, fenced: own.pointee.fenced) { unsafe own.pointee.ready.announce(priority: priority) }
    }
    // Between queue and cache the jobs were in nobody's sight: a worker that looked then may sleep.
    unsafe own.pointee.parking.notify()
  }

  private func steal(_ priority: Int) -> Int {
    let workers = unsafe own.pointee.parking.workers
    let scheduler = unsafe own.pointee.scheduler
    for step in 1..<max(workers, 1) {
      let victim = (index + step) % workers
      let cache = scheduler.cache(of: victim, priority)
      if cache.isEmpty() { continue }
      unsafe own.pointee.stealSequence = own.pointee.stealSequence & 0xFF00_0000 | (own.pointee.stealSequence &+ 1) & 0x00FF_FFFF
      let count = unsafe cache.steal(
        into: own.pointee.buffer, sequence: own.pointee.stealSequence, patience: scheduler.configuration.stealPatience,
        barrier: scheduler.parking.asymmetric)
      if count > 0 { return count }
    }
    return 0
  }
}
