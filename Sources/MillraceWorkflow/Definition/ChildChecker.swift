/// Judges what a task says of the workflow that it runs: whether there is one, and whether it takes these parameters.
struct ChildChecker {
  /// Those that an engine has deployed, the newest of each name; nil: not known, so not checked.
  let workflows: [String: Definition]?

  /// `at` nil: the definition was made in Swift. `place` gives the place of a parameter, or of its value.
  func check(
    _ task: TaskDefinition, _ label: String, at position: Position?, _ faults: inout FaultList, _ nearest: inout NearestName,
    place: (String) -> (name: Position, value: Position)?
  ) {
    guard let child = task.child else { return }
    guard task.input.object != nil else {
      return faults.add(
        .wrongType, "\(label): the parameters must be a map", fix: "write 'parameters: { NAME: VALUE }'", at: position, task: task.id)
    }
    guard let definition = child.definition ?? workflows?[child.name] else {
      if let workflows, !ChildWorkflow.isFile(child.name) {
        unknown(child, among: workflows, label, at: position, task.id, &faults, &nearest)
      }
      return
    }
    if definition.kind == .saga {
      return faults.add(
        .mismatch, "\(label) runs '\(definition.name)', which is a saga", fix: "name a workflow", at: position, task: task.id)
    }
    let given = task.input.object ?? []
    for member in given {
      guard let parameter = definition.parameters.first(where: { $0.name == member.name }) else {
        let names = definition.parameters.map(\.name)
        let near = nearest.nearest(to: member.name, among: names)
        let known = names.isEmpty ? "it has no parameters" : "its parameters are \(names.joined(separator: ", "))"
        faults.add(
          .unknownParameter, "\(label): '\(member.name.prefix(80))' is no parameter of '\(definition.name)'",
          fix: near.map { "did you mean '\($0)'?" } ?? known, at: place(member.name)?.name ?? position, task: task.id)
        continue
      }
      if member.value.mayHoldExpressions { continue }
      if let refusal = parameter.refusal(of: member.value) {
        faults.add(
          .badParameter, "\(label): the parameter '\(member.name)' of '\(definition.name)' is \(member.value.shownShort); it \(refusal)",
          fix: "give another value", at: place(member.name)?.value ?? position, task: task.id)
      }
    }
    for parameter in definition.parameters where parameter.fallback == nil && !given.contains(where: { $0.name == parameter.name }) {
      faults.add(
        .missing, "\(label): the parameter '\(parameter.name)' of '\(definition.name)' must be given",
        fix: "write 'parameters: { \(parameter.name): VALUE }'", at: position, task: task.id)
    }
  }

  private func unknown(
    _ child: ChildWorkflow, among workflows: [String: Definition], _ label: String, at position: Position?, _ task: String,
    _ faults: inout FaultList, _ nearest: inout NearestName
  ) {
    let near = nearest.nearest(to: child.name, among: workflows.keys.sorted())
    faults.add(
      .unknownWorkflow, "\(label) runs the workflow '\(child.name.prefix(128))', which is not deployed",
      fix: near.map { "did you mean '\($0)'?" } ?? "deploy it first, or name its file, as 'workflow: child.yaml'", at: position, task: task)
  }
}

/// Reads the files of child workflows: each once, from the folder of the definition that names it and below.
final class ChildReader {
  private let reader: DefinitionReader
  /// Files that are being read, the outermost first: real paths.
  private var open: [String]
  private var known: [String: Definition?] = [:]

  init(_ path: String, _ reader: DefinitionReader) {
    self.reader = reader
    open = [FileBytes.realPath(path) ?? path]
  }

  /// The definition in a file; nil (and faults, once): it has none that can run.
  func read(_ file: String, at position: Position, _ faults: inout FaultList) -> Definition? {
    let folder = open[open.count - 1].split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    let isInside =
      !file.hasPrefix("/") && !file.split(separator: "/", omittingEmptySubsequences: false).contains { $0 == ".." || $0.isEmpty }
    guard isInside else {
      faults.add(
        .badValue, "the workflow '\(file.prefix(200))' is not below the folder of this file", fix: "name a file in this folder or below",
        at: position)
      return nil
    }
    guard let path = FileBytes.realPath(folder + "/" + file) else {
      faults.add(.unreadable, "there is no file '\(file.prefix(200))'", fix: "give the path from this file on", at: position)
      return nil
    }
    guard path.hasPrefix(folder + "/") else {
      faults.add(
        .badValue, "the workflow '\(file.prefix(200))' is a link to a file elsewhere", fix: "put the file into this folder or below",
        at: position)
      return nil
    }
    if let first = open.firstIndex(of: path) {
      let names = (open[first...] + [path]).map { $0.split(separator: "/").last.map(String.init) ?? $0 }
      faults.add(
        .cycle, "workflows that run one another: \(names.joined(separator: " -> "))", fix: "end the circle: a child cannot run its parent",
        at: position)
      return nil
    }
    if let read = known[path] { return read }
    guard open.count < ChildWorkflow.maximumDepth else {
      faults.add(
        .limit, "workflows below one another more than \(ChildWorkflow.maximumDepth) deep", fix: "let a task do the work of a child",
        at: position)
      return nil
    }
    open.append(path)
    defer { open.removeLast() }
    let definition = reading(path, named: shown(path), &faults)
    known[path] = .some(definition)
    return definition
  }

  /// As messages name it: from the outermost file's folder on where it lies below that.
  private func shown(_ path: String) -> String {
    let folder = open[0].split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/") + "/"
    return path.hasPrefix(folder) ? String(path.dropFirst(folder.count)) : path
  }

  private func reading(_ path: String, named name: String, _ faults: inout FaultList) -> Definition? {
    var own = FaultList(file: name)
    switch FileBytes.read(path, limit: JSON.maximumBytes) {
    case .success(let bytes):
      do throws(DefinitionError) {
        let reading = try reader.read(bytes, name: name, folder: IncludeFolder(of: path), children: self)
        faults.add(reading.warnings)
        return reading.definition
      } catch {
        faults.add(error.faults, omitted: error.omitted)
      }
    case .failure(let refusal):
      own.add(refusal.code, refusal.message, fix: refusal.fix, at: nil)
      faults.add(own.faults)
    }
    return nil
  }
}
