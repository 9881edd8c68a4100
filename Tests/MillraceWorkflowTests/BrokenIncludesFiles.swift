@testable import MillraceWorkflow

extension BrokenFile {
  static let includes: [BrokenFile] = [
    BrokenFile(
      what: "a file that is not there, one outside, and a list of others",
      text: """
        format: 1
        workflow: w
        include: [gone.yaml, ../up.yaml, /etc/passwd, 3]
        tasks: [{ id: a, handler: test/run }]

        """,
      faults: [
        "3:11 unreadable: 'gone.yaml' cannot be included: cannot read the file: No such file or directory => write its path from the folder of the file that includes it",
        "3:22 bad-value: '../up.yaml' does not lie in the folder of the file that includes it => write its path from there: no '/' first, no '.' and no '..'",
        "3:34 bad-value: '/etc/passwd' does not lie in the folder of the file that includes it => write its path from there: no '/' first, no '.' and no '..'",
        #"3:47 wrong-type: a file to include must be text, not a number => put it in quotes: "3""#,
      ]),
    BrokenFile(
      what: "faults in the definition and in the file that it includes",
      text: """
        format: 1
        workflow: w
        include: [common.yaml]
        tasks:
          - { id: u, template: copy, with: { form: x } }

        """,
      files: [
        "common.yaml": """
        format: 1
        templates:
          - template: copy
            parameters: { from: { type: string } }
            tasks:
              - { id: a, handler: test/rum }
              - { id: b, handler: test/run, dependencies: [c], env: { F: '${params.form}' } }

        """
      ],
      faults: [
        "5:24 missing: task 'u' gives no 'from' to the template 'copy' => add it: 'with: { from: text }'",
        "5:38 unknown-parameter: 'form' is no parameter of the template 'copy' => did you mean 'from'?",
        "common.yaml:6:27 unknown-handler: task 'a' has the unknown handler 'test/rum' => did you mean 'test/run'?",
        "common.yaml:7:52 unknown-task: task 'b' depends on 'c', which is not a task => add the task, or remove the dependency",
        "common.yaml:7:69 unknown-parameter: the parameter 'form' is not declared by the template 'copy' => did you mean 'from'?",
      ]),
    BrokenFile(
      what: "an included file that is a whole workflow, of another format",
      text: """
        format: 1
        workflow: w
        include: [other.yaml]
        tasks: [{ id: a, handler: test/run }]

        """,
      files: [
        "other.yaml": """
        format: 2
        workflow: v
        parameters: { x: {} }
        templates: []
        tasks: [{ id: a, handler: test/run }]

        """
      ],
      faults: [
        "other.yaml:1:9 format: format 2 is not known; this release reads 1 => write 'format: 1'",
        "other.yaml:2:1 unknown-key: unknown key 'workflow' in a file that is included => the keys are format, description, include, templates",
        "other.yaml:3:1 unknown-key: unknown key 'parameters' in a file that is included => the keys are format, description, include, templates",
        "other.yaml:5:1 unknown-key: unknown key 'tasks' in a file that is included => the keys are format, description, include, templates",
      ]),
    BrokenFile(
      what: "syntax of an included file, and a name that two files give",
      text: """
        format: 1
        workflow: w
        include: [a.yaml, b.yaml, c.yaml]
        tasks: [{ id: u, template: t }]

        """,
      files: [
        "a.yaml": """
        format: 1
        templates: [{ template: t, tasks: [{ id: a, handler: test/run }] }]

        """,
        "b.yaml": """
        format: 1
        templates:
          - template: t
            tasks: [{ id: a, handler: test/run }]

        """,
        "c.yaml": "format: 1\n\ttemplates: []\n",
      ],
      faults: [
        "b.yaml:3:15 duplicate-id: the template 't' is there twice; first at a.yaml:2 => give one of them another name",
        "c.yaml:2:1 syntax: not YAML: found a tab character that violates indentation while scanning a plain scalar => check this line and the one before it",
      ]),
    BrokenFile(
      what: "files in a circle, and limits of one key in two files",
      text: """
        format: 1
        workflow: w
        include: [a.yaml]
        tasks: [{ id: u, template: t, concurrency: { key: k, limit: 1 } }]

        """,
      files: [
        "a.yaml": """
        format: 1
        include: [sub/b.yaml]
        templates: [{ template: t, tasks: [{ id: a, handler: test/run, concurrency: { key: k, limit: 2 } }] }]

        """,
        "sub/b.yaml": """
        format: 1
        include: [c.yaml]

        """,
        "sub/c.yaml": """
        format: 1
        include: [b.yaml]

        """,
      ],
      faults: [
        "a.yaml:3:36 mismatch: the key 'k' has limit 2 here and 1 at w.yaml:4 => write the same limit, or use another key",
        "sub/c.yaml:2:11 cycle: files include each other: sub/b.yaml -> sub/c.yaml -> sub/b.yaml => remove one of them from 'include'",
      ]),
    BrokenFile(
      what: "'include' as text",
      text: """
        format: 1
        workflow: w
        include: common.yaml
        tasks: [{ id: a, handler: test/run }]

        """,
      faults: [
        "3:10 wrong-type: 'include' must be a list of files, not text => write 'include: [common.yaml]'"
      ]),
  ]
}
