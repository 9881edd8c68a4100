/// What `DefinitionDecoder` judges of a file, for a definition made in Swift.
extension Foreach {
  /// What is wrong with it by itself.
  var fault: (message: String, fix: String)? {
    switch self {
    case .list(.array(let items)) where items.count > Foreach.maximumItems:
      ("\(items.count) items; at most \(Foreach.maximumItems) are allowed", "let one item do the work of several")
    case .list(.array(let items)) where JSON.array(items).isLarger(than: Definition.maximumInputBytes):
      ("the list is larger than \(Definition.maximumInputBytes) bytes", "let a task before this one make it")
    case .list(.array): nil
    case .list(let value): value.string == nil ? ("'foreach' is no list", "give a list, or an expression that gives one") : nil
    case .range(let from, let to, let step): Self.fault([from, to, step], literalCount)
    case .files(let pattern, let directory):
      pattern.isEmpty || directory?.isEmpty == true ? ("an empty pattern or directory", "give a pattern, as data/*.csv") : nil
    }
  }

  private static func fault(_ numbers: [JSON], _ count: UInt64?) -> (message: String, fix: String)? {
    if let count, count > maximumItems {
      return ("\(count) items; at most \(maximumItems) are allowed", "let one item do the work of several")
    }
    if numbers[2] == 0 { return ("the step is 0", "use 1, or -1 to count down") }
    for number in numbers {
      if case .integer = number { continue }
      if number.string?.hasPrefix("${") != true {
        return ("a range of whole numbers needs such", "give a number, or '${...}' that gives one")
      }
    }
    return nil
  }
}

extension ValueChecker {
  /// `foreach` and `parallelism` of a task of a definition made in Swift.
  static func checkItems(
    of task: TaskDefinition, user: Int, _ expressions: inout ExpressionChecker, _ faults: inout FaultList, _ nearest: inout NearestName
  ) {
    let label = "task '\(task.id)'"
    if let parallelism = task.parallelism {
      if task.foreach == nil {
        faults.add(
          .badValue, "\(label): 'parallelism' without 'foreach'", fix: "use a concurrency key to limit tasks", at: nil, task: task.id)
      }
      if !Foreach.parallelismRange.contains(parallelism) {
        faults.add(.badValue, "\(label): the parallelism is \(parallelism)", fix: "use 1 to 1000000", at: nil, task: task.id)
      }
    }
    guard let foreach = task.foreach else { return }
    if let fault = foreach.fault { faults.add(.badValue, "\(label): \(fault.message)", fix: fault.fix, at: nil, task: task.id) }
    for value in foreach.values {
      if let text = value.string, !foreach.isFiles {
        check(
          whole: text, "\(label): 'foreach'", example: "${tasks.ID.output.files}", in: .foreach, user: user, task: task.id, &expressions,
          &faults, &nearest)
      } else {
        check(value, user: user, task: task.id, in: .foreach, &expressions, &faults, &nearest)
      }
    }
  }
}
