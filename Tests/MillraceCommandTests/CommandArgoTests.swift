import Foundation
import Testing

/// Workflows of Argo, imported and run with the programs that they name.
@Suite struct CommandArgoTests {
  /// Imports `spec`, and runs what comes out; the lines that its programs wrote to the file `log`.
  private func run(_ spec: String, _ arguments: [String] = []) throws -> (exit: Int32, log: [String]) {
    let command = try Command()
    let header = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: { name: sample }\nspec:\n"
    let file = try command.write("argo.yaml", header + spec)
    let imported = try command.run("workflow", "import", file, "--output", "mine.yaml")
    #expect(imported.exit == 0, "\(imported.errors)")
    #expect(try command.run("workflow", "check", "mine.yaml").exit == 0)
    try command.write("log", "")
    let (process, _, errors) = try command.process(["run", "mine.yaml"] + arguments)
    try process.run()
    process.waitUntilExit()
    let log = try command.read("log").split(separator: "\n").map(String.init)
    if process.terminationStatus > 1 { Issue.record("\(try String(contentsOfFile: errors, encoding: .utf8))") }
    return (process.terminationStatus, log)
  }

  private static let log = """
        - name: log
          inputs: { parameters: [{ name: text }] }
          container: { command: [sh, -c, 'echo "$0" >> log'], args: ["{{inputs.parameters.text}}"] }

    """

  private static let guess = """
      entrypoint: main
      onExit: bye
      arguments: { parameters: [{ name: coin, value: heads }, { name: limit, value: 2 }] }
      templates:
    \(log)\
        - name: flip
          script: { command: [sh], source: "echo {{workflow.parameters.coin}}" }
        - name: count
          script: { command: [sh], source: "echo 10" }
        - name: list
          script: { command: [sh], source: "printf '[{\\"n\\": 1, \\"w\\": \\"a b\\"}, {\\"n\\": 20, \\"w\\": \\"$\\"}]'" }
        - name: main
          dag:
            tasks:
              - { name: flip, template: flip }
              - { name: count, template: count }
              - { name: list, template: list }
              - name: heads
                template: log
                depends: flip && count
                when: "{{tasks.flip.outputs.result}} == heads && {{tasks.count.outputs.result}} > {{workflow.parameters.limit}}"
                arguments: { parameters: [{ name: text, value: "heads, {{tasks.count.outputs.result}} of {{workflow.parameters.limit}}" }] }
              - name: tails
                template: log
                depends: flip
                when: "'{{tasks.flip.outputs.result}}' == 'tails'"
                arguments: { parameters: [{ name: text, value: tails }] }
              - { name: sorry, template: log, depends: heads.Skipped, arguments: { parameters: [{ name: text, value: sorry }] } }
              - name: each
                template: log
                depends: list && heads && tails
                withParam: "{{tasks.list.outputs.result}}"
                arguments: { parameters: [{ name: text, value: "{{item.n}} {{item.w}}" }] }
              - { name: failed, template: log, depends: list.Failed, arguments: { parameters: [{ name: text, value: failed }] } }
        - name: bye
          steps:
            - - { name: good, template: log, when: "{{workflow.status}} == Succeeded", arguments: { parameters: [{ name: text, value: good }] } }
              - { name: bad, template: log, when: "{{workflow.status}} != Succeeded", arguments: { parameters: [{ name: text, value: bad }] } }

    """

  @Test("results decide what runs, are put into texts and gone through, and the exit handler comes last")
  func results() throws {
    let heads = try run(Self.guess)
    #expect(heads.exit == 0)
    #expect(heads.log.first == "heads, 10 of 2" && heads.log.last == "good")
    #expect(Set(heads.log.dropFirst().dropLast()) == ["1 a b", "20 $"] && heads.log.count == 4)

    let tails = try run(Self.guess, ["--param", "coin=tails"])
    #expect(tails.exit == 0)
    #expect(Set(tails.log.dropLast()) == ["tails", "sorry", "1 a b", "20 $"] && tails.log.last == "good")

    // 10 is above 2 as a number and below "2" as text, and above 9.5.
    #expect(try run(Self.guess, ["--param", "limit=9.5"]).log.first == "heads, 10 of 9.5")
    #expect(Set(try run(Self.guess, ["--param", "limit=10"]).log) == ["sorry", "1 a b", "20 $", "good"])

    let broken = try run(Self.guess.replacing("printf '[{", with: "exit 3; printf '[{"))
    #expect(broken.exit == 1)
    #expect(Set(broken.log.suffix(2)) == ["failed", "bad"])
  }

  @Test("a parameter with a list is gone through, a count gives its numbers, and a number for a text is text")
  func parameters() throws {
    let spec = """
        entrypoint: main
        arguments: { parameters: [{ name: list, value: '["x", 2, {"k": [1]}]' }, { name: n, value: 2 }, { name: word, value: w }] }
        templates:
      \(Self.log)\
          - name: main
            inputs: { parameters: [{ name: list }] }
            steps:
              - [{ name: each, template: log, withParam: "{{inputs.parameters.list}}", arguments: { parameters: [{ name: text, value: "{{item}}" }] } }]
              - - name: count
                  template: log
                  withSequence: { count: "{{workflow.parameters.n}}" }
                  arguments: { parameters: [{ name: text, value: "{{item}}" }] }
              - [{ name: word, template: log, arguments: { parameters: [{ name: text, value: "{{workflow.parameters.word}}" }] } }]

      """
    let given = try run(spec)
    #expect(given.exit == 0 && Set(given.log.prefix(3)) == ["x", "2", #"{"k":[1]}"#])
    #expect(Set(given.log.dropFirst(3).prefix(2)) == ["0", "1"] && given.log.last == "w" && given.log.count == 6)
    #expect(try run(spec, ["--param", "list=[]", "--param", "n=0", "--param", "word=7"]).log == ["7"])
  }
}
