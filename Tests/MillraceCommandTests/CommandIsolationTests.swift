import Foundation
import Millrace
import Testing

/// `--isolate`, with bounds.
@Suite(.timeLimit(.minutes(5))) struct CommandIsolationTests {
  @Test(
    "what isolates a plugin is wrong use where it cannot be read, and says why",
    arguments: [
      ("files", "give NAME=process"), ("=process", "give NAME=process"),
      ("files=proc", "'proc' is none of process, untrusted and in-process"),
      ("files=in-process,slots=1", "in-process has no bounds"), ("files=process,", "'' is no bound: they are processes, slots, memory,"),
      ("files=process,speed=1", "'speed' is no bound"), ("files=process,slots", "slots has no value"),
      ("files=process,slots=", "slots has no value"),
      ("files=process,slots=-1", "slots: '-1' is no whole number"), ("files=process,slots=1,slots=1", "slots is given twice"),
      ("files=process,memory=1T", "memory: '1T' is no whole number"),
      ("files=process,memory=9000000000000000G", "memory: '9000000000000000G' is too much"),
      ("files=process,grace=5", "grace: "), ("files=process,wait=never", "wait: 'never' is none of spin, adaptive, park"),
    ])
  func wrong(_ text: String, _ words: String) throws {
    let ending = try Command().run("plugin", "list", "--isolate", text)
    #expect(ending.exit == 64 && ending.errors.contains(words) && ending.output.isEmpty, "\(ending.errors)")
  }

  @Test("two that say the same are one; two that differ, in their bounds too, are wrong use") func twice() throws {
    let command = try Command()
    let same = try command.run("plugin", "list", "--isolate", "shell=process,slots=2", "--isolate", "shell=process,slots=2", "-o", "json")
    #expect(same.exit == 0)
    let bounds = try command.run("plugin", "list", "--isolate", "shell=process,slots=2", "--isolate", "shell=process")
    #expect(bounds.exit == 64 && bounds.errors.contains("two things of shell: different bounds"))
    let how = try command.run("plugin", "list", "--isolate", "shell=process", "--isolate", "shell=untrusted")
    #expect(how.exit == 64 && how.errors.contains("two things of shell: process and untrusted"))
  }

  @Test("bounds reach the plugin's processes, and one out of its range is told where the plugin is loaded") func reach() throws {
    let command = try Command()
    let text =
      "shell=process,processes=3,slots=4,memory=512M,attempt-bytes=1M,descriptors=32,helpers=2,wait=park,start=9s,grace=1s,stop=1s,first-wait=10ms,longest-wait=1s,crashes=2,window=30s,lines-per-second=10,library=/opt/a,library=/opt/b"
    let ending = try command.run("plugin", "list", "--isolate", text, "-o", "json")
    let shell = try #require(ending.object()["plugins"]?.array?.first { $0["name"] == "shell" })
    #expect(shell["isolation"] == "process" && shell["processes"]?.array?.count == 3, "\(ending.output)\(ending.errors)")
    let outside = try command.run("plugin", "list", "--isolate", "shell=process,slots=0", "-o", "json")
    #expect((outside.output + outside.errors).contains("slots is 0, expected 1 to"), "\(outside.output)\(outside.errors)")
  }
}
