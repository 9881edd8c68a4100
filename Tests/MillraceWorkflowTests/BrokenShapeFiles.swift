@testable import MillraceWorkflow

extension BrokenFile {
  static let shape: [BrokenFile] = [
    BrokenFile(
      what: "a tab as indentation",
      text: "format: 1\nworkflow: w\ntasks:\n\t- id: a\n",
      faults: [
        "4:1 syntax: not YAML: found character that cannot start any token while scanning for the next token => indent with spaces, not tabs; put text that begins with @, ` or % in quotes"
      ]),
    BrokenFile(
      what: "a flow list that is not closed",
      text: """
        format: 1
        workflow: w
        tasks: [{ id: a, handler: test/run }

        """,
      faults: [
        "4:1 syntax: not YAML: did not find expected ',' or ']' while parsing a flow sequence => close the bracket, or put a comma between the values"
      ]),
    BrokenFile(
      what: "text with a colon in it",
      text: """
        format: 1
        workflow: w
        description: first: second
        tasks: []

        """,
      faults: [
        "3:19 syntax: not YAML: mapping values are not allowed in this context => put text that contains ': ' in quotes, or check the indentation"
      ]),
    BrokenFile(
      what: "JSON with a comma too many",
      text: """
        {
          "format": 1,
          "workflow": "w",
          "tasks": [1, ]
        }

        """,
      name: "w.json",
      faults: [
        "4:16 syntax: a comma before ']' => remove the comma"
      ]),
    BrokenFile(
      what: "JSON whose values are of wrong types",
      text: """
        { "format": "1", "workflow": 7,
          "description": [], "tasks": { "id": "a" } }

        """,
      name: "w.json",
      faults: [
        "1:13 format: format '1' is not known; this release reads 1 => write 'format: 1'",
        #"1:30 wrong-type: 'workflow' must be text, not a number => put it in quotes: "7""#,
        "2:18 wrong-type: 'description' must be text, not a list => write text",
        "2:31 wrong-type: 'tasks' must be a list, not a map => write '- id: NAME' for each task",
      ]),
    BrokenFile(
      what: "a file of comments",
      text: """
        # nothing


        """,
      faults: [
        "1:1 syntax: the file is empty => begin with 'format: 1' and 'workflow: NAME'"
      ]),
    BrokenFile(
      what: "a list instead of a definition",
      text: """
        - id: a
          handler: test/run

        """,
      faults: [
        "1:1 wrong-type: the definition must be a map, not a list => begin with 'format: 1' and 'workflow: NAME'"
      ]),
    BrokenFile(
      what: "a definition with nothing that it needs, and one key that nobody knows",
      text: """
        describtion: x

        """,
      faults: [
        "1:1 unknown-key: unknown key 'describtion' in the definition => did you mean 'description'?",
        "1:1 missing: the definition has no 'format' => add 'format: 1'",
        "1:1 missing: the definition has no 'workflow' => add 'workflow: NAME'",
        "1:1 missing: the definition has no 'tasks' => add 'tasks:'",
      ]),
    BrokenFile(
      what: "a format of the future, a name with spaces, an unknown choice",
      text: """
        format: 2
        workflow: my flow
        on_failure: stop
        tasks:
          - { id: a, handler: test/run }

        """,
      faults: [
        "1:9 format: format 2 is not known; this release reads 1 => write 'format: 1'",
        "2:11 bad-value: 'workflow' 'my flow' has a letter that is not allowed => use 1 to 128 of A-Z a-z 0-9 . _ and -",
        "3:13 bad-value: 'stop' is no choice for 'on_failure' => write fail_fast or continue",
      ]),
    BrokenFile(
      what: "keys that occur twice, in the definition and in a task",
      text: """
        format: 1
        workflow: w
        workflow: v
        tasks:
          - id: a
            handler: test/run
            id: b

        """,
      faults: [
        "3:1 duplicate-key: the key 'workflow' occurs twice; first at line 2 => remove one of them",
        "7:5 duplicate-key: the key 'id' occurs twice; first at line 5 => remove one of them",
      ]),
    BrokenFile(
      what: "a second document",
      text: """
        format: 1
        workflow: w
        tasks: [{ id: a, handler: test/run }]
        ---
        format: 1

        """,
      faults: [
        "4:1 syntax: a second document begins here => keep one workflow in a file"
      ]),
    BrokenFile(
      what: "a tag",
      text: """
        format: 1
        workflow: w
        tasks:
          - { id: a, handler: !custom test/run }

        """,
      faults: [
        "4:23 syntax: the tag !custom is not read => remove it; put text in quotes"
      ]),
    BrokenFile(
      what: "an alias without its anchor",
      text: """
        format: 1
        workflow: w
        tasks:
          - *first

        """,
      faults: [
        "4:5 syntax: the alias *first names no anchor before it => write &first before the value it names"
      ]),
    BrokenFile(
      what: "tasks that are empty, and a cleanup that is text",
      text: """
        format: 1
        workflow: w
        tasks: []
        cleanup: none

        """,
      faults: [
        "3:8 missing: 'tasks' is empty => add a task: '- id: NAME' with a 'handler'",
        "4:10 wrong-type: 'cleanup' must be a list, not text => write '- id: NAME' for each task",
      ]),
  ]
}
