/// The texts that handlers of a workflow are given, in all its runs: ids and inputs of the tasks in two pieces of memory.
@safe final class TaskTexts: @unchecked Sendable {
  private let ids: UnsafeMutablePointer<CChar>
  private let idStarts: [UInt32]
  private let inputs: UnsafeMutablePointer<UInt8>
  /// Input i lies at starts[i] ..< starts[i + 1]; empty: all are `null`.
  private let inputStarts: [Int]

  init(_ definition: Definition) {
    let tasks = definition.tasks
    // unsafe: freed in deinit; sizes counted first.
    let ids = UnsafeMutablePointer<CChar>.allocate(capacity: tasks.reduce(11) { $0 + $1.id.utf8.count + 1 })
    var idStarts: [UInt32] = []
    idStarts.reserveCapacity(tasks.count)
    var at = 0
    func put(_ text: String) {
      for byte in text.utf8 {
        unsafe ids[at] = CChar(bitPattern: byte)
        at += 1
      }
      unsafe ids[at] = 0
      at += 1
    }
    put("input")
    put("null")
    for task in tasks {
      idStarts.append(UInt32(at))
      put(task.id)
    }
    var text: [UInt8] = []
    var inputStarts: [Int] = []
    if tasks.allSatisfy({ $0.input == .null }) {
      text = Array("null".utf8)
    } else {
      inputStarts.append(0)
      for task in tasks {
        text += task.input.utf8()
        inputStarts.append(text.count)
      }
    }
    let inputs = UnsafeMutablePointer<UInt8>.allocate(capacity: max(text.count, 1))
    unsafe inputs.update(from: text, count: text.count)
    unsafe self.ids = ids
    unsafe self.inputs = inputs
    self.idStarts = idStarts
    self.inputStarts = inputStarts
  }

  deinit {
    unsafe ids.deallocate()
    unsafe inputs.deallocate()
  }

  var inputName: UnsafePointer<CChar> { unsafe UnsafePointer(ids) }
  /// `null` as JSON text: the output of a task that was skipped.
  var null: UnsafePointer<CChar> { unsafe UnsafePointer(ids + 6) }
  func id(_ task: Int) -> UnsafePointer<CChar> { unsafe UnsafePointer(ids + Int(idStarts[task])) }

  /// JSON text.
  func input(_ task: Int) -> UnsafeBufferPointer<UInt8> {
    if inputStarts.isEmpty { return unsafe UnsafeBufferPointer(start: inputs, count: 4) }
    return unsafe UnsafeBufferPointer(start: inputs + inputStarts[task], count: inputStarts[task + 1] - inputStarts[task])
  }

}

/// The same for one run, which the keys of its tasks begin with.
@safe struct RunTexts {
  /// Where the id begins in a key.
  static let idOffset = RunID.bytes + 1

  let tasks: TaskTexts
  let run: RunID

  var inputName: UnsafePointer<CChar> { unsafe tasks.inputName }
  var null: UnsafePointer<CChar> { unsafe tasks.null }
  func id(_ task: Int) -> UnsafePointer<CChar> { unsafe tasks.id(task) }
  func input(_ task: Int) -> UnsafeBufferPointer<UInt8> { unsafe tasks.input(task) }

  /// Writes `run/task` and a NUL. unsafe: `target` has room for `Attempt.keyBytes`.
  @unsafe func key(_ task: Int, into target: UnsafeMutablePointer<CChar>) {
    unsafe run.write(into: UnsafeMutableRawPointer(target).assumingMemoryBound(to: UInt8.self))
    unsafe target[RunID.bytes] = CChar(bitPattern: UInt8(ascii: "/"))
    var from = unsafe id(task)
    var to = unsafe target + RunTexts.idOffset
    while unsafe from.pointee != 0 {
      unsafe to.pointee = from.pointee
      unsafe from += 1
      unsafe to += 1
    }
    unsafe to.pointee = 0
  }
}
