// Go's channels. By value a message is an array that is copied; by reference a pointer to one that the publisher has made for it. A message for four goes into four channels.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"sync"
	"time"
)

const (
	mix      = 0x9e3779b97f4a7c15
	bound    = 1000
	slice    = 64 // messages of a slice
	looks    = 256
	interval = 100_000 // ns: 10,000 a second
	blocks   = 2048
)

type small = [8]uint64
type large = [128]uint64
type block [8192 + 8]uint64 // 64 KiB, and a line so that their beginnings do not share a set of the cache

type words interface{ small | large }

func fill[W words](m *W, i uint64) {
	first := i * mix
	for k := 0; k < len(*m); k++ {
		(*m)[k] = first + uint64(k)
	}
}

func sum[W words](m *W) (total uint64) {
	for k := 0; k < len(*m); k++ {
		total += (*m)[k]
	}
	return
}

func triangle(n uint64) uint64 {
	if n%2 == 0 {
		return n / 2 * (n - 1)
	}
	return n * ((n - 1) / 2)
}

// The sum of all words of messages 0..<messages.
func expected(words, messages uint64) uint64 {
	return words*mix*triangle(messages) + messages*triangle(words)
}

func quit(code int, format string, values ...any) {
	fmt.Fprintf(os.Stderr, "broker: "+format+"\n", values...)
	os.Exit(code)
}

type line struct {
	messages, received, bytes uint64
	consumers                 int
	seconds                   time.Duration
	latencies                 []uint64
}

// What a work does for so long.
type run func(length time.Duration) line

// Sends what `make` makes, each of `count` messages, to all consumers; `take` gives what it sums to.
func rate[M any](consumers int, words, bytes, count uint64, make_ func(i uint64) M, take func(m *M) uint64) run {
	return func(length time.Duration) line {
		channels := make([]chan M, consumers)
		received, totals := make([]uint64, consumers), make([]uint64, consumers)
		var ended sync.WaitGroup
		ended.Add(consumers)
		for c := range channels {
			channels[c] = make(chan M, bound/count)
			go func(c int) {
				var messages, total uint64
				for m := range channels[c] {
					total += take(&m)
					messages += count
				}
				received[c], totals[c] = messages, total
				ended.Done()
			}(c)
		}
		var i uint64
		begin := time.Now()
		for time.Since(begin) < length {
			for k := uint64(0); k < looks; k += count {
				m := make_(i)
				for _, channel := range channels {
					channel <- m
				}
				i += count
			}
		}
		for _, channel := range channels {
			close(channel)
		}
		ended.Wait()
		took := time.Since(begin)
		var all uint64
		for c := range channels {
			if received[c] != i || totals[c] != expected(words, i) {
				quit(1, "%d of %d messages were received, or their sum is wrong", received[c], i)
			}
			all += received[c]
		}
		return line{messages: i, received: all, bytes: bytes, consumers: consumers, seconds: took}
	}
}

func byValue[W words](consumers int) run {
	var m W
	n := uint64(len(m))
	return rate(consumers, n, n*8, 1, func(i uint64) W {
		var m W
		fill(&m, i)
		return m
	}, sum[W])
}

func byReference(consumers int) run {
	return rate(consumers, 8, 64, 1, func(i uint64) *small {
		m := new(small)
		fill(m, i)
		return m
	}, func(m **small) uint64 { return sum(*m) })
}

func bySlice[W words]() run {
	var m W
	n := uint64(len(m))
	return rate(1, n, n*8, slice, func(i uint64) []W {
		some := make([]W, slice)
		for k := range some {
			fill(&some[k], i+uint64(k))
		}
		return some
	}, func(some *[]W) (total uint64) {
		for k := range *some {
			total += sum(&(*some)[k])
		}
		return
	})
}

// The first line is written and read. A block comes again after 2,048 messages, of which 1,000 can be under way.
func byBlock() run {
	memory := make([]block, blocks)
	for b := range memory {
		for k := range memory[b] {
			memory[b][k] = 1
		}
	}
	return rate(4, 8, 64*1024, 1, func(i uint64) *block {
		b := &memory[i%blocks]
		fill((*small)(b[:8]), i)
		return b
	}, func(b **block) uint64 { return sum((*small)((*b)[:8])) })
}

// From the moment that each was due, whatever kept the publisher.
func onTime(wait func()) run {
	return func(length time.Duration) line {
		channel, done := make(chan small, bound), make(chan uint64)
		latencies := make([]uint64, 0, length/interval+1)
		begin := time.Now().Add(time.Millisecond)
		go func() {
			var total uint64
			for m := range channel {
				latencies = append(latencies, uint64(time.Since(begin))-m[0])
				total += sum(&m)
			}
			done <- total
		}()
		var i uint64
		for ; time.Duration(i*interval) < length; i++ {
			due := time.Duration(i * interval)
			for time.Since(begin) < due {
				wait()
			}
			var m small
			fill(&m, 0)
			m[0] = uint64(due)
			channel <- m
		}
		close(channel)
		total := <-done
		took := time.Since(begin)
		if uint64(len(latencies)) != i || total != i*triangle(8)+interval*triangle(i) {
			quit(1, "%d of %d messages were received, or their sum is wrong", len(latencies), i)
		}
		return line{messages: i, received: i, bytes: 64, consumers: 1, seconds: took, latencies: latencies}
	}
}

func percentile(sorted []uint64, p float64) string {
	if float64(len(sorted))*(1-p) < 10 {
		return "null"
	}
	return strconv.FormatUint(sorted[int(p*float64(len(sorted)))], 10)
}

func (l line) tell(work string) {
	fmt.Printf(`{"work":"%s","messages":%d,"received":%d,"lost":0,"bytes":%d,"consumers":%d,"seconds":%.9f`,
		work, l.messages, l.received, l.bytes, l.consumers, l.seconds.Seconds())
	if l.latencies != nil {
		sort.Slice(l.latencies, func(a, b int) bool { return l.latencies[a] < l.latencies[b] })
		fmt.Printf(`,"p50_ns":%s,"p99_ns":%s`, percentile(l.latencies, 0.5), percentile(l.latencies, 0.99))
	}
	fmt.Println("}")
}

func main() {
	works := map[string]func() run{
		"msg-1-1":             func() run { return byValue[small](1) },
		"msg-1-1/slices":      bySlice[small],
		"msg-1-1-1k":          func() run { return byValue[large](1) },
		"msg-1-1-1k/slices":   bySlice[large],
		"msg-1-4":             func() run { return byValue[small](4) },
		"msg-1-4/reference":   func() run { return byReference(4) },
		"msg-64k":             byBlock,
		"latency-park":        func() run { return onTime(func() {}) },
		"latency-park/yields": func() run { return onTime(runtime.Gosched) },
	}
	if len(os.Args) != 3 {
		quit(64, "usage: %s WORK SECONDS", os.Args[0])
	}
	seconds, wrong := strconv.ParseFloat(os.Args[2], 64)
	make_ := works[os.Args[1]]
	if wrong != nil || !(seconds > 0 && seconds <= 3600) || make_ == nil {
		quit(64, "usage: %s WORK SECONDS; there is no %s of %s", os.Args[0], os.Args[1], os.Args[2])
	}
	work, length := make_(), time.Duration(seconds*1e9)
	work(length / 4)
	work(length).tell(os.Args[1])
}
