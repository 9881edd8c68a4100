internal import CMillrace
internal import MillracePlugins
internal import MillraceWorkflow

/// Calls of one handler by a checking host, and what is said of how they go.
final class CallBench {
  private static let largeBytes = 1 << 20

  private let room: CheckRoom
  private let host: CheckingHost
  private let handler: LoadedHandler
  /// Where it happens, for whoever reads it; empty: nowhere else.
  private let place: String
  private let worker: CheckWorker
  /// The handler's batches, of one attempt each.
  private let isBatch: Bool
  private let inputSchema: JSON?
  private let outputSchema: InputSchema?
  private var count = 0

  init(_ room: CheckRoom, _ host: CheckingHost, _ handler: LoadedHandler, _ place: String, isBatch: Bool) {
    (self.room, self.host, self.handler, self.place, self.isBatch) = (room, host, handler, place, isBatch)
    worker = CheckWorker(host, isBlocking: handler.flags & UInt32(MILLRACE_BLOCKING) != 0)
    inputSchema = handler.inputSchema.flatMap { try? JSON(parsing: $0) }
    outputSchema = handler.outputSchema.flatMap { try? InputSchema(parsing: $0) }
  }

  private var name: String { handler.qualifiedName }
  private var patience: UInt64 { room.request.patience }

  func end() { worker.end() }

  // MARK: Inputs

  /// The user's own, then some by the schema, the first without any whim.
  private func valid(_ wanted: Int) -> [[UInt8]] {
    var inputs = Array(room.request.inputs.prefix(wanted))
    var made = inputSchema.map { MadeInputs($0, SeededNumbers(room.request.seed, handler: name, call: -1)) }
    let plain = ["{}", "null", "\"text\"", "[1,2,3]", "0", "{\"a\":{\"b\":[true,false]}}"]
    for index in 0..<max(0, wanted - inputs.count) { inputs.append(made?.next().utf8() ?? Array(plain[index % plain.count].utf8)) }
    return inputs
  }

  /// One for which the handler is done, or else the first.
  private func good() throws -> [UInt8] {
    let inputs = valid(12)
    for input in inputs where try call([CallInput(input)], "with an input by its schema").status == UInt32(MILLRACE_DONE) { return input }
    return inputs[0]
  }

  // MARK: One call

  @discardableResult
  private func call(_ inputs: [CallInput], _ words: String, isCancelled: Bool = false) throws -> CallResult {
    tellBegin(inputs, words)
    unsafe worker.begin(handler.pointer, inputs, isCancelled: isCancelled)
    return try finish(worker, inputs)
  }

  private func tellBegin(_ inputs: [CallInput], _ words: String) {
    count += 1
    room.at("call \(count) \(words)\(place.isEmpty ? "" : " of \(place)")", handler: name, input: shown(inputs))
  }

  private func shown(_ inputs: [CallInput]) -> String? { inputs.first.map { ChangedInputs.shown($0.bytes) } }

  private func finish(_ worker: CheckWorker, _ inputs: [CallInput]) throws -> CallResult {
    let result = worker.await(patience)
    judge(result, shown(inputs))
    guard result.state == .ended else { throw CheckRoom.Stop() }
    worker.letGo()
    return result
  }

  private func found(_ code: FindingCode, _ what: String, _ input: String?) { room.found(code, what, handler: name, input: input) }

  private func judge(_ result: CallResult, _ input: String?) {
    room.tellFaults(host, handler: name, input: input)
    let seconds = Double(patience * 2) / 1e9
    switch result.state {
    case .runs: return found(.hang, "call \(count) has not returned after \(seconds) s, though it was cancelled after half of that", input)
    case .unfinished:
      return found(
        .neverCompletes, "call \(count) is pending, and not completed after \(seconds) s, though it was cancelled after half of that", input
      )
    case .ended: break
    }
    if isBatch, result.returned == UInt32.max {
      found(.unsaidOutcome, "the batch said nothing of its attempt", input)
    } else if result.returned > UInt32(MILLRACE_CANCELLED) {
      found(.badStatus, "`run` returned \(result.returned)", input)
    }
    if result.wasPending, result.status == UInt32(MILLRACE_PENDING) || result.status > UInt32(MILLRACE_CANCELLED) {
      found(.badStatus, "the attempt was completed with status \(result.status)", input)
    }
    for (payload, word) in [(result.output, "output"), (result.details, "details")] {
      switch payload {
      case .empty, .claimed: break
      case .unclaimed: found(.unclaimedOutput, "the \(word) was not claimed for this attempt", input)
      case .tooLong:
        let sizes = word == "output" ? ": \(result.outputLength) bytes of \(result.claimedLength)" : ""
        found(.outputTooLong, "the \(word) is longer than its claim\(sizes)", input)
      }
    }
    if result.isOverrun { found(.pastClaim, "bytes behind the end of a claim were written", input) }
    if result.isMessageLong { found(.pastMessage, "message_length is not below message_capacity", input) }
    if String(validating: result.message, as: UTF8.self) == nil { found(.badText, "the message is not UTF-8", input) }
    if !result.errorType.contains(0) { found(.pastOutcome, "error_type has no NUL in its \(result.errorType.count) bytes", input) }
    if result.status == UInt32(MILLRACE_DONE), result.output == .claimed { judgeOutput(result, input) }
  }

  private func judgeOutput(_ result: CallResult, _ input: String?) {
    switch result.contentType {
    case UInt32(MILLRACE_TEXT):
      if String(validating: result.bytes, as: UTF8.self) == nil { found(.badText, "an output of type text is not UTF-8", input) }
    case UInt32(MILLRACE_JSON):
      do throws(JSONSyntaxError) {
        let value = try JSON(parsing: result.bytes)
        // A long one is looked at once it is short: what it is made of is the same.
        if result.bytes.count <= Self.largeBytes, let objection = outputSchema?.objection(to: value) {
          found(.outputSchema, "an output is not as its schema says: \(objection)", input)
        }
      } catch {
        found(.badJSON, "an output of type JSON is none: \(error)", input)
      }
    default: break
    }
  }

  // MARK: Checks

  func few(_ words: String) throws {
    for input in valid(3) { try call([CallInput(input)], words) }
  }

  func outputBounds() throws {
    for input in valid(24) { try call([CallInput(input)], "with an input by its schema") }
    // And with the outputs of tasks before.
    let others = ["{\"count\":1}", "null", "some text"].map { CallInput(Array($0.utf8)) }
    for input in valid(4) { try call([CallInput(input)] + others, "with three more inputs") }
  }

  func emptyInput() throws {
    for type in [MILLRACE_JSON, MILLRACE_TEXT, MILLRACE_BYTES] { try call([CallInput([], type: type)], "with an empty input") }
    try call([], "without an input")
    for text in ["null", "{}", "[]", "\"\""] { try call([CallInput(Array(text.utf8))], "with an input of nothing") }
  }

  func garbageInput() throws {
    var numbers = SeededNumbers(room.request.seed, handler: name, call: -2)
    let texts = [
      "{", "}", "nul", "{\"a\":}", "[1,", "\"", "\u{FEFF}{}", "{\"a\":1,\"a\":2}", "truefalse", "1e999999", "-", "\"\\uD800\"", "%s%s%n",
      "<xml/>",
    ]
    var inputs = texts.map { Array($0.utf8) }
    inputs += [[0], [0xFF], [0xFF, 0xFE, 0x7B, 0], [UInt8](repeating: 0, count: 4_096), [UInt8](repeating: 0x22, count: 4_095)]
    for length in [1, 2, 3, 7, 15, 16, 17, 63, 255, 4_095, 4_096, 4_097] {
      inputs.append((0..<length).map { _ in UInt8(truncatingIfNeeded: numbers.next()) })
    }
    // JSON, but not as the schema has it.
    var any = MadeInputs(.bool(true), numbers)
    for _ in 0..<24 { inputs.append(any.next().utf8()) }
    for input in inputs { try call([CallInput(input)], "with garbage") }
  }

  func largeInput() throws {
    let half = Self.largeBytes / 2
    let a = UInt8(ascii: "a")
    let large: [(String, [UInt8])] = [
      ("1 MiB of letters", [UInt8](repeating: a, count: Self.largeBytes)),
      ("a JSON text of 1 MiB", [0x22] + [UInt8](repeating: a, count: Self.largeBytes - 2) + [0x22]),
      ("1 MiB of '['", [UInt8](repeating: UInt8(ascii: "["), count: Self.largeBytes)),
      (
        "arrays in each other, 1 MiB",
        [UInt8](repeating: UInt8(ascii: "["), count: half) + [UInt8](repeating: UInt8(ascii: "]"), count: half)
      ),
      (
        "a list of 1 MiB",
        [UInt8(ascii: "["), UInt8(ascii: "1")]
          + [[UInt8]](repeating: [UInt8(ascii: ","), UInt8(ascii: "1")], count: half - 2).flatMap { $0 } + [UInt8(ascii: "]")]
      ),
      ("1 MiB of NULs", [UInt8](repeating: 0, count: Self.largeBytes)),
    ]
    for (words, input) in large { try call([CallInput(input)], "with \(words)") }
    for name in textMembers { try call([CallInput(padded(name))], "with 1 MiB in '\(name)'") }
  }

  /// Members of the input that may be text.
  private var textMembers: [String] {
    (inputSchema?["properties"]?.object ?? []).filter { $0.value["type"]?.string == "string" && $0.value["enum"] == nil }.map(\.name)
      .prefix(8).map(\.self)
  }

  private func padded(_ name: String) -> [UInt8] {
    var members = (try? JSON(parsing: valid(1)[0]))?.object ?? []
    members.removeAll { $0.name == name }
    members.append(.init(name, .string(String(repeating: "a", count: Self.largeBytes))))
    return JSON.object(members).utf8()
  }

  func completion() throws {
    let inputs = valid(4)
    for input in inputs { try call([CallInput(input)], "that is cancelled from the beginning", isCancelled: true) }
    for _ in 0..<3 {
      for input in inputs { try call([CallInput(input)], "whose end is watched") }
    }
  }

  func concurrency() throws {
    let allowed = handler.concurrency == 0 ? 4 : min(4, Int(handler.concurrency))
    let others = (1..<max(1, allowed)).map { _ in CheckWorker(host, isBlocking: handler.flags & UInt32(MILLRACE_BLOCKING) != 0) }
    let workers = [worker] + others
    let inputs = valid(4).map { CallInput($0) }
    for round in 0..<8 {
      for (index, one) in workers.enumerated() {
        let input = [inputs[(round + index) % inputs.count]]
        tellBegin(input, "on \(workers.count) threads at once")
        unsafe one.begin(handler.pointer, input)
      }
      for (index, one) in workers.enumerated() { _ = try finish(one, [inputs[(round + index) % inputs.count]]) }
    }
    for one in others { one.end() }
  }

  func fuzz() throws {
    let bases = valid(8) + ["{}", "[]", "null", "{\"a\":\"b\",\"c\":[1,2.5,true,null]}", "plain text"].map { Array($0.utf8) }
    for number in 0..<room.request.calls {
      var numbers = SeededNumbers(room.request.seed, handler: name, call: number)
      try call([CallInput(ChangedInputs.make(of: bases, &numbers))], "by seed \(room.request.seed)")
    }
  }

  // MARK: What it costs

  /// Windows that must all have grown.
  private static let windows = 3
  /// Bytes a window, at least: what threads keep for themselves comes and goes.
  private static let leastGrowth = 4_096
  /// Nanoseconds of a window, about.
  private static let window: UInt64 = 1_000_000_000

  /// Calls that take about a window: at most those that were asked for, twenty at least.
  private func times(_ input: [CallInput]) throws -> Int {
    let trial = 20
    room.at("calls one after the other", handler: name, input: shown(input))
    let walls = UnsafeMutablePointer<UInt64>.allocate(capacity: trial)
    defer { unsafe walls.deallocate() }
    unsafe walls.initialize(repeating: 0, count: trial)
    guard unsafe worker.repeat(handler.pointer, input, times: trial, patience: patience, walls: walls) == trial else {
      throw stopped(input)
    }
    let mean = max(1, (0..<trial).reduce(0 as UInt64) { unsafe $0 + walls[$1] } / UInt64(trial))
    return max(trial, min(room.request.calls, Int(Self.window / mean)))
  }

  /// One of many calls has not ended.
  private func stopped(_ input: [CallInput]) -> CheckRoom.Stop {
    room.tellFaults(host, handler: name, input: shown(input))
    found(.neverCompletes, "one of many calls, one after the other, has not ended in \(Double(patience * 2) / 1e9) s", shown(input))
    return CheckRoom.Stop()
  }

  func leaks() throws {
    guard let probe = room.probe else { return }
    let input = [CallInput(try good())]
    host.measure(true)
    defer { host.measure(false) }
    let times = try times(input)
    let descriptors = CheckRoom.count("/proc/self/fd")
    var growths: [Int] = []
    // The first window fills what is filled once.
    for index in 0...Self.windows {
      let meter = CheckWorker.Meter(probe)
      guard unsafe worker.repeat(handler.pointer, input, times: times, patience: patience, meter: meter) == times else {
        throw stopped(input)
      }
      if index > 0 { growths.append(Int(meter.after.live) - Int(meter.before.live)) }
    }
    room.tellFaults(host, handler: name, input: shown(input))
    let least = growths.min() ?? 0
    // The smallest block has eight bytes.
    if least >= max(times * 7, Self.leastGrowth) {
      found(
        .leak,
        "memory grows by \(least / times) bytes a call: by \(growths.map { "\($0)" }.joined(separator: ", ")) bytes in \(times) calls each",
        shown(input))
    }
    let more = CheckRoom.count("/proc/self/fd") - descriptors
    if more >= times { found(.descriptorLeak, "\(more) descriptors more are open after \(times * (Self.windows + 1)) calls", shown(input)) }
  }

  /// Allocations a call above which there is a warning.
  static let mostAllocations = 256.0
  /// Nanoseconds of waiting in a call above which a worker is missed.
  private static let longestWait: UInt64 = 20_000_000

  func cost() throws {
    let input = [CallInput(try good())]
    try waiting(input)
    host.measure(true)
    defer { host.measure(false) }
    let times = try times(input)
    let walls = UnsafeMutablePointer<UInt64>.allocate(capacity: times)
    defer { unsafe walls.deallocate() }
    unsafe walls.initialize(repeating: 0, count: times)
    let meter = room.probe.map(CheckWorker.Meter.init)
    guard unsafe worker.repeat(handler.pointer, input, times: times, patience: patience, walls: walls, meter: meter) == times else {
      throw stopped(input)
    }
    room.tellFaults(host, handler: name, input: shown(input))
    let allocations = meter.map { Double($0.after.requests - $0.before.requests) / Double(times) }
    let measured = (0..<times).map { unsafe walls[$0] }
    room.report.tell(.figures(CallFigures(handler: name, walls: measured, allocations: allocations)))
    if let allocations, allocations > Self.mostAllocations {
      found(.allocations, "a call makes \(Int(allocations)) allocations", shown(input))
    }
  }

  /// Whether it waits on a worker, in each of a few calls.
  private func waiting(_ input: [CallInput]) throws {
    guard handler.flags & UInt32(MILLRACE_BLOCKING) == 0 else { return }
    var least = UInt64.max
    for _ in 0..<3 {
      let result = try call(input, "whose waiting is watched")
      guard result.waits > 0, result.wall > result.cpu, result.wall - result.cpu >= Self.longestWait else { return }
      least = min(least, result.wall - result.cpu)
    }
    found(.blocks, "a call waits for \(least / 1_000_000) ms on a worker, and the handler does not say MILLRACE_BLOCKING", shown(input))
  }
}
