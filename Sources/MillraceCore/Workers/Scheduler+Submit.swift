internal import CMillrace

extension Scheduler {
  // MARK: Submission

  /// Takes one job. After the return at most 2 x workers jobs of a lower priority start before it, plus those that ageing gives their turn.
  ///
  /// Complexity: O(1). Lock-free: a caller stopped anywhere in here holds up nobody. Throws `SubmitError`; the request is the caller's to repeat.
  @discardableResult public func submit(_ request: JobRequest) throws(SubmitError) -> JobID {
    try check(request)
    guard admit(1) else { throw .full(limit: configuration.capacity) }
    return unsafe withStripe { stripe in
      let index = unsafe makeJob(request, &stripe.pointee.jobs)
      let id = JobID(index: index, generation: Job.generation(Job(jobs, index).state.loadRelaxed()))
      if !ready.hand(index, priority: Int(request.priority)) { unsafe enqueue(index, &stripe.pointee.nodes) }
      parking.notify()
      return id
    }
  }

  /// Takes all of the jobs or none. Jobs of one priority and tenant start in this order; a neighbourhood of equal ones is published by one CAS.
  ///
  /// Complexity: O(count). Throws `SubmitError`.
  public func submit(_ requests: Span<JobRequest>) throws(SubmitError) {
    if requests.isEmpty { return }
    for i in requests.indices { try check(requests[i]) }
    guard admit(UInt64(requests.count)) else { throw .full(limit: configuration.capacity) }
    unsafe withStripe { stripe in
      var chain = BatchQueue.Chain()
      var last = requests[0]
      var levels: UInt64 = 0
      for i in requests.indices {
        let request = requests[i]
        let index = unsafe makeJob(request, &stripe.pointee.jobs)
        if ready.isOrdered {
          unsafe enqueue(index, &stripe.pointee.nodes)
          continue
        }
        if request.priority != last.priority || request.tenant != last.tenant {
          ready.appendSilently(chain, priority: Int(last.priority), tenant: Int(last.tenant))
          levels |= 1 &<< UInt64(last.priority)
          chain = BatchQueue.Chain()
        }
        unsafe append(index, to: &chain, &stripe.pointee.nodes)
        last = request
      }
      ready.appendSilently(chain, priority: Int(last.priority), tenant: Int(last.tenant))
      ready.announce(all: levels | 1 &<< UInt64(last.priority))
      parking.notify()
    }
  }

  /// Starts a run: its nodes without predecessors are ready now. The run's owner keeps it until `RunHooks.completed`.
  ///
  /// Complexity: O(roots). Throws `SubmitError`; then nothing has happened.
  public func start(_ run: Run) throws(SubmitError) { try start(run, wakes: true) }

  /// `wakes`: false if the calling thread is about to step a worker, which then tells the others.
  func start(_ run: Run, wakes: Bool) throws(SubmitError) {
    if Int(run.tenant) >= configuration.tenants { throw .unknownTenant(run.tenant) }
    if isStopping { throw .stopped }
    guard admit(UInt64(run.unfinished)) else { throw .full(limit: configuration.capacity) }
    // Once the last root is published the run may end at any moment: the plan is held apart.
    let roots = run.roots
    let tenant = Int(run.tenant)
    let body = run.body
    unsafe withStripe { stripe in
      var chain = BatchQueue.Chain()
      var priority = 0
      for root in roots {
        let index = unsafe makeNodeJob(body, root, &stripe.pointee.jobs)
        if ready.isOrdered {
          unsafe enqueue(index, &stripe.pointee.nodes)
          continue
        }
        // unsafe: the job is this thread's until it is published.
        let rootPriority = unsafe Job(jobs, index).fields.pointee.word.priority
        if rootPriority != priority {
          ready.append(chain, priority: priority, tenant: tenant)
          chain = BatchQueue.Chain()
          priority = rootPriority
        }
        unsafe append(index, to: &chain, &stripe.pointee.nodes)
      }
      ready.append(chain, priority: priority, tenant: tenant)
      if wakes { parking.notify() }
    }
  }

  /// The next attempt of a node whose last one was answered with `Verdict.hold`.
  public func resubmit(_ run: Run, node: UInt32) {
    unsafe withStripe { stripe in
      let index = unsafe makeNodeJob(run.body, node, &stripe.pointee.jobs)
      unsafe enqueue(index, &stripe.pointee.nodes)
      parking.notify()
    }
  }

  /// Finishes a node that was held: a worker will release its successors.
  public func release(_ run: Run, node: UInt32) {
    unsafe withStripe { stripe in
      let index = unsafe makeNodeJob(run.body, node, &stripe.pointee.jobs, tellReady: false)
      unsafe Job(jobs, index).fields.pointee.word.flags |= Job.Flag.release
      unsafe publishCompleted(index, &stripe.pointee.nodes)
    }
  }

  /// Ends what the owner did with nodes that were held: a worker calls `RunHooks.finished` for each, with `outcome`, as if an attempt had ended so. All are
  /// published together. Complexity: O(count).
  public func settle(_ nodes: Span<HeldNode>, _ outcome: UInt8) {
    if nodes.isEmpty { return }
    unsafe withStripe { stripe in
      var chain = BatchQueue.Chain()
      for i in nodes.indices {
        let index = unsafe makeNodeJob(nodes[i].run.body, nodes[i].node, &stripe.pointee.jobs, tellReady: false)
        let word = Job(jobs, index).state
        // Not `finished`: it has no slot to give back.
        word.storeReleasing(Job.word(Job.generation(word.loadRelaxed()), Job.State.overdue, outcome))
        unsafe append(index, to: &chain, &stripe.pointee.nodes)
      }
      ready.complete(chain)
      parking.notify()
    }
  }

  // MARK: Records

  @inline(__always) private func append(_ index: UInt32, to chain: inout BatchQueue.Chain, _ nodes: inout SlabCache) {
    let appended = chain.append(index, ready.nodes, &nodes)
    invariant(appended, "the queue nodes outnumber the jobs")
  }

  /// Puts a job that is ready into its tenant's queue. Does not wake anybody.
  func enqueue(_ index: UInt32, _ nodes: inout SlabCache) {
    // unsafe: the job is the caller's until it is published here.
    let fields = unsafe Job(jobs, index).fields.pointee
    let (priority, tenant) = (fields.word.priority, fields.word.tenant)
    if ready.isOrdered {
      let inserted = ready.insert(index, key: fields.key, priority: priority, tenant: tenant)
      invariant(inserted, "an ordered queue has room for every job")
      return
    }
    var chain = BatchQueue.Chain()
    append(index, to: &chain, &nodes)
    ready.append(chain, priority: priority, tenant: tenant)
  }

  /// Hands a job whose attempt has ended to the workers.
  func publishCompleted(_ index: UInt32, _ nodes: inout SlabCache) {
    var chain = BatchQueue.Chain()
    append(index, to: &chain, &nodes)
    ready.complete(chain)
    parking.notify()
  }

  /// A record that was free, its next life begun; its state says `ready`.
  @inline(__always) private func allocate(_ cache: inout SlabCache) -> UInt32 { cache.allocate(jobs) ?? allocateSlowly(&cache) }

  /// Every record is in use or in a cache: since admission is below capacity, some cache is about to give some back.
  @inline(never) func allocateSlowly(_ cache: inout SlabCache) -> UInt32 {
    var backoff = Backoff()
    while true {
      backoff.pause()
      if let index = cache.allocate(jobs) { return index }
    }
  }

  @inline(__always) func makeJob(_ request: JobRequest, _ cache: inout SlabCache) -> UInt32 {
    let index = allocate(&cache)
    // Whoever ran the jobs before has these lines: one a few jobs ahead is asked for now. Asking for what lies beyond the last block does no harm.
    Job(jobs, index &+ 8).prefetch()
    Job(jobs, index).begin(request)
    return index
  }

  func makeNodeJob(_ run: RunBody, _ node: UInt32, _ cache: inout SlabCache, tellReady: Bool = true) -> UInt32 {
    let index = allocate(&cache)
    Job(jobs, index).begin(run, node, index: index, tellReady: tellReady)
    return index
  }

  // MARK: Producers

  /// A producer's record caches, shared by one producer at a time.
  struct Stripe {
    var jobs = SlabCache()
    var nodes = SlabCache()
  }

  /// Lends record caches to a thread that is no worker. A producer that is stopped with one keeps it; others take another, or a fresh pair.
  @inline(__always) func withStripe<Result>(_ body: (UnsafeMutablePointer<Stripe>) -> Result) -> Result {
    // Threads have their stacks apart: their addresses spread them over the stripes without a look at thread-local memory.
    var here: UInt8 = 0
    let address = unsafe withUnsafeMutablePointer(to: &here) { UInt(bitPattern: $0) }
    let start = Int(truncatingIfNeeded: ((address >> 16) &* 0x9E37_79B1) >> 8)
    for i in 0..<Scheduler.stripes {
      let memory = unsafe stripeMemory + ((start &+ i) & (Scheduler.stripes - 1)) &* padding
      let word = unsafe SharedHalf(memory)
      if word.loadRelaxed() != 0 { continue }
      // Order: sequentially consistent exchange. Pairs with the releasing store below: the last holder's use happened before.
      if word.exchange(1) != 0 { continue }
      // unsafe: zeroed memory is an empty stripe; it is ours until the store.
      let result = unsafe body((memory + 16).assumingMemoryBound(to: Stripe.self))
      word.storeReleasing(0)
      return result
    }
    var fresh = Stripe()
    defer {
      fresh.jobs.flush(jobs)
      fresh.nodes.flush(ready.nodes)
    }
    return unsafe withUnsafeMutablePointer(to: &fresh) { unsafe body($0) }
  }
}
