internal import Glibc
internal import Millrace

/// Tells what a run waits for, asks for approvals where there is a terminal to ask at, and hands out what was given in advance.
struct WaitDesk {
  /// Lines about waits; more are only counted.
  private static let lines = 16
  /// Ticks between two looks.
  private static let pause = 4

  private let handle: WorkflowHandle
  private let options: AnswerOptions?
  private var hasTerminal = isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1
  private var ticks = 0
  private var told: Set<OpenWait> = []
  /// Signals of child workflows that were not there yet.
  private var signals: [Assignment] = []
  private var question: OpenWait?
  private var toldParked: [String] = []
  private var typed: [UInt8] = []

  /// `mayAsk`: at the terminal, if there is one.
  init(_ handle: WorkflowHandle, _ options: AnswerOptions?, mayAsk: Bool = true) {
    self.handle = handle
    self.options = options
    signals = options?.signals ?? []
    if !mayAsk { hasTerminal = false }
  }

  /// A question stands on the terminal: nothing else should be drawn.
  var isAsking: Bool { question != nil }

  /// Sends what can be sent. At the start, and at each look.
  mutating func send() {
    var left: [Assignment] = []
    for signal in signals {
      do throws(SignalError) {
        try handle.signal(signal.name, signal.json)
      } catch .noChild {
        left.append(signal)
      } catch {
        Output.note("--signal \(signal.name): \(error)")
      }
    }
    signals = left
  }

  /// Looks now and then. `clear`: makes room for a line.
  mutating func look(clear: () -> Void) {
    if isAsking { read() }
    ticks += 1
    guard ticks % Self.pause == 1 else { return }
    if !signals.isEmpty { send() }
    lookAtSaga(clear)
    let waits = handle.waits
    if let question, !waits.contains(question) {
      Output.aside("\n")
      self.question = nil
    }
    for wait in waits {
      if case .approval(let text) = wait.wait {
        if options?.approvals.contains(wait.task) == true {
          answer(wait, true, clear)
          continue
        }
        if hasTerminal {
          if question == nil { ask(wait, text, clear) }
          continue
        }
      }
      guard told.insert(wait).inserted, told.count <= Self.lines, let line = line(wait) else { continue }
      clear()
      Output.note(line)
      if told.count == Self.lines { Output.note("what else waits is not told") }
    }
  }

  /// A saga that is parked says so, once for each way in which it is.
  private mutating func lookAtSaga(_ clear: () -> Void) {
    guard let saga = handle.saga else { return }
    let state = saga.state
    let parked = state.parkedSteps.map { state.plan.ids[$0] }
    if parked == toldParked { return }
    toldParked = parked
    if parked.isEmpty { return }
    clear()
    let how =
      handle.definition.durability == .log
      ? ": `millrace saga resume|skip|force \(handle.id)`" : ", and nobody can say how it goes on: Ctrl-C"
    Output.note("the saga is \(state.status.rawValue) at \(parked.joined(separator: ", "))\(how)")
  }

  private func line(_ wait: OpenWait) -> String? {
    if handle.definition.durability == .log { return durableLine(wait) }
    return switch wait.wait {
    case .approval(let text):
      "task \(wait.task) waits for an approval: \(TerminalText.escaped(text)) There is no terminal to ask at: start with --approve \(wait.task), or end it with Ctrl-C"
    case .signal(let name):
      "task \(wait.task) waits for the signal \(name): start with --signal \(Self.path(wait))\(name), or end it with Ctrl-C"
    case .until, .duration: nil
    case .message(let queue): "task \(wait.task) waits for a message of the queue \(queue): publish one, or end it with Ctrl-C"
    }
  }

  /// What stands before the signal's name: the tasks whose child workflow waits.
  private static func path(_ wait: OpenWait) -> Substring { wait.task.lastIndex(of: "/").map { wait.task[...$0] } ?? "" }

  private func durableLine(_ wait: OpenWait) -> String? {
    switch wait.wait {
    case .approval(let text):
      "task \(wait.task) waits for an approval: \(TerminalText.escaped(text)) `millrace run approve \(handle.id) \(wait.task)`, or reject"
    case .signal(let name):
      "task \(wait.task) waits for the signal \(name): `millrace run signal \(handle.id) \(Self.path(wait))\(name)`"
    case .until, .duration: nil
    case .message(let queue): "task \(wait.task) waits for a message of the queue \(queue)"
    }
  }

  // MARK: Asking

  private mutating func ask(_ wait: OpenWait, _ text: String, _ clear: () -> Void) {
    clear()
    question = wait
    typed = []
    Output.aside("millrace: task \(wait.task) asks: \(TerminalText.escaped(text)) [y/n] ")
  }

  /// Takes what was typed, without waiting for more.
  private mutating func read() {
    var descriptor = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
    // The descriptor and the bytes are used during the calls.
    while let wait = question, unsafe poll(&descriptor, 1, 0) == 1 {
      var byte: UInt8 = 0
      guard unsafe Glibc.read(STDIN_FILENO, &byte, 1) == 1 else {
        // The terminal is closed: nobody answers any more.
        Output.note("no answer: task \(wait.task) goes on waiting; Ctrl-C ends it")
        question = nil
        hasTerminal = false
        told.insert(wait)
        return
      }
      if byte != UInt8(ascii: "\n") {
        if typed.count < 16 { typed.append(byte) }
        continue
      }
      let word = String(decoding: typed, as: UTF8.self).lowercased()
      typed = []
      switch word {
      case "y", "yes": answer(wait, true) {}
      case "n", "no": answer(wait, false) {}
      default: Output.aside("y or n? ")
      }
    }
  }

  private mutating func answer(_ wait: OpenWait, _ isApproved: Bool, _ clear: () -> Void) {
    if question == wait { question = nil }
    let name = unsafe getenv("USER").map { unsafe String(cString: $0) }
    do throws(ApprovalError) {
      if isApproved { try handle.approve(task: wait.task, by: name) } else { try handle.reject(task: wait.task, by: name) }
      clear()
      Output.note("task \(wait.task): \(isApproved ? "approved" : "rejected")")
    } catch {
      clear()
      Output.note("\(error)")
    }
  }
}
