extension Definition {
  /// What a use of a template gives to one of its parameters. In the tasks that come out of the use `left`, `${params.folder}` of the template is
  /// `${params["left.folder"]}`: the name of an argument, which no parameter can have.
  ///
  /// The value is looked at in the scope of whoever uses the template, never put into the template's text: its type stays, and so does the order of
  /// operations. What needs parameters alone is settled when a run starts, all else the first time a task asks for it, once in a run.
  public struct Argument: Sendable, Hashable {
    /// Most arguments of a definition.
    public static let maximumCount = 1_000_000

    /// Ids of the uses, outermost first, and the parameter's name: `left.inner.folder`. With nothing behind the last point it is the condition of the use.
    public internal(set) var name: String
    /// JSON whose texts may hold expressions over parameters, tasks, and arguments that stand before this one. In a definition with its parameters in
    /// place (`resolve`) a literal, if `program` is nil.
    public internal(set) var value: JSON
    /// What the template declares: the value is held against it.
    public internal(set) var parameter: Parameter
    /// What only a run can tell, once the parameters are in place.
    var program: InputProgram?

    init(_ name: String, _ value: JSON, of parameter: Parameter) {
      self.name = name
      self.value = value
      self.parameter = parameter
    }

    /// For messages: the parameter and the use.
    var label: String {
      let use = name.dropLast(parameter.name.utf8.count + 1)
      return parameter.name.isEmpty ? "the condition of '\(use)'" : "the parameter '\(parameter.name)' of '\(use)'"
    }

    /// Why a value will not do; nil: it will.
    func refusal(of value: JSON) -> ExpressionError? {
      guard let refusal = parameter.refusal(of: value) else { return nil }
      return ExpressionError(
        kind: .type, offset: 0, message: "\(label) is \(value.shownShort); it \(refusal)", fix: "give another value to the template")
    }
  }
}

/// What is known before a run begins: JSON text by name, of parameters and of the arguments that need nothing else.
struct SettledValues {
  var values: [String: KeptBytes] = [:]
  /// Arguments that turned out to have no value: an error unless `??` stands behind them.
  var missing: [String: ExpressionError] = [:]

  func knows(_ root: Expression.Root) -> Bool {
    guard case .parameter(let name) = root else { return false }
    return values[name] != nil || missing[name] != nil
  }

  /// Whether the expressions need nothing that only a run will know.
  func settle(_ program: InputProgram) -> Bool { program.expressions.allSatisfy { $0.roots.allSatisfy(knows) } }
}

extension Definition {
  /// Takes the values of the arguments that need parameters alone into `settled`; the others are compiled.
  mutating func settleArguments(_ settled: inout SettledValues, _ faults: inout FaultList) {
    for index in arguments.indices {
      let argument = arguments[index]
      do throws(ExpressionError) {
        var value = argument.value
        if let program = try InputProgram(value) {
          guard settled.settle(program) else {
            arguments[index].program = program
            continue
          }
          do throws(ExpressionError) {
            let bytes = try program.bytes { [settled] in ParameterScope(roots: program.expressions[$0].roots, settled: settled) }
            value = try JSON(expression: bytes)
          } catch {
            guard error.kind == .missing else { throw error }
            settled.missing[argument.name] = error
            arguments[index].program = program
            continue
          }
        }
        if let refusal = argument.refusal(of: value) { throw refusal }
        settled.values[argument.name] = KeptBytes(value.utf8())
        arguments[index].value = value
      } catch {
        let code: Fault.Code = error.kind == .limit ? .limit : .badParameter
        let message = error.message.hasPrefix(argument.label) ? error.message : "\(argument.label): \(error.message)"
        faults.add(code, message, fix: error.fix, at: nil)
      }
    }
  }
}

extension JSON {
  /// What an expression wrote. Throws `ExpressionError` if it is nested too deep.
  init(expression bytes: [UInt8]) throws(ExpressionError) {
    do throws(JSONSyntaxError) {
      self = try JSON(parsing: bytes)
    } catch {
      throw ExpressionError(kind: .limit, offset: 0, message: error.message, fix: error.fix)
    }
  }

  /// This value with `${` in its texts as `$${`: a literal where expressions are looked for. Recursive; the readers bound the depth.
  var withoutExpressions: JSON {
    if !mayHoldExpressions { return self }
    return switch self {
    case .string(let text): .string(Template.escaped(text))
    case .array(let elements): .array(elements.map(\.withoutExpressions))
    case .object(let members): .object(members.map { Member($0.name, $0.value.withoutExpressions) })
    default: self
    }
  }
}

extension Template {
  /// A text as one that holds no expressions: `${` is written `$${`.
  static func escaped(_ text: String) -> String { text.split(separator: "${", omittingEmptySubsequences: false).joined(separator: "$${") }
}
