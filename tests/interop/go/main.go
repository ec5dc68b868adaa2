// The relay as go-nostr sees it: go_nostr CASE URL. Exits with 0 if everything the relay says is what is
// expected, to the last event. The relay is empty at the start of a case.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nbd-wtf/go-nostr"
	"github.com/nbd-wtf/go-nostr/nip77"
)

const patience = 50 * time.Second // less than that of interop_test.cc

var (
	start = nostr.Now() - 10_000
	alice = nostr.GeneratePrivateKey()
	bob   = nostr.GeneratePrivateKey()
)

func expect(holds bool, format string, arguments ...any) {
	if !holds {
		panic(fmt.Sprintf(format, arguments...))
	}
}

func must[T any](value T, err error) T {
	expect(err == nil, "%v", err)
	return value
}

// `age` counts up: a larger one is newer.
func sign(key string, kind int, age int, content string, tags ...nostr.Tag) nostr.Event {
	event := nostr.Event{Kind: kind, CreatedAt: start + nostr.Timestamp(age), Content: content, Tags: tags}
	expect(event.Sign(key) == nil, "cannot sign")
	return event
}

func public(key string) string {
	return must(nostr.GetPublicKey(key))
}

func connect(ctx context.Context, url string) *nostr.Relay {
	return must(nostr.RelayConnect(ctx, url))
}

func publish(ctx context.Context, relay *nostr.Relay, events ...nostr.Event) {
	for _, event := range events {
		err := relay.Publish(ctx, event)
		expect(err == nil, "%v", err)
	}
}

func expectRefusal(err error, prefix string) {
	expect(err != nil && strings.Contains(err.Error(), prefix), "%v is not %s", err, prefix)
}

func idsOf[E nostr.Event | *nostr.Event](events []E) []string {
	ids := []string{}
	for _, event := range events {
		switch e := any(event).(type) {
		case nostr.Event:
			ids = append(ids, e.ID)
		case *nostr.Event:
			ids = append(ids, e.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// The library checks ids and signatures.
func expectStored(ctx context.Context, relay *nostr.Relay, filter nostr.Filter, expected ...nostr.Event) {
	found := must(relay.QuerySync(ctx, filter))
	expect(slices.Equal(idsOf(found), idsOf(expected)), "%v brings %v", filter, found)
}

func events(ctx context.Context, url string) {
	relay := connect(ctx, url)
	a := sign(alice, 1, 4, "a \"\\ \n é 日本 😀", nostr.Tag{"t", "red"}, nostr.Tag{"t", "blue"})
	b := sign(bob, 1, 3, "b", nostr.Tag{"t", "blue"})
	c := sign(alice, 7, 2, "c", nostr.Tag{"e", strings.Repeat("f", 64)})
	publish(ctx, relay, c, a, b)
	expectStored(ctx, relay, nostr.Filter{}, a, b, c)
	expectStored(ctx, relay, nostr.Filter{IDs: []string{a.ID, c.ID}}, a, c)
	expectStored(ctx, relay, nostr.Filter{Authors: []string{public(bob)}}, b)
	expectStored(ctx, relay, nostr.Filter{Tags: nostr.TagMap{"t": {"blue"}}}, a, b)
	expectStored(ctx, relay, nostr.Filter{Kinds: []int{1}, Limit: 1}, a)
	since, until := b.CreatedAt, b.CreatedAt
	expectStored(ctx, relay, nostr.Filter{Since: &since, Until: &until}, b)
	forged := sign(alice, 1, 5, "true")
	forged.Content = "forged"
	expectRefusal(relay.Publish(ctx, forged), "invalid: ")
}

func live(ctx context.Context, url string) {
	subscription := must(connect(ctx, url).Subscribe(ctx, nostr.Filters{{Kinds: []int{1}}}))
	<-subscription.EndOfStoredEvents
	writer := connect(ctx, url)
	sent := []nostr.Event{sign(alice, 1, 1, "1"), sign(bob, 1, 2, "2")}
	publish(ctx, writer, sent[0], sign(alice, 7, 3, "other"), sent[1])
	heard := []*nostr.Event{<-subscription.Events, <-subscription.Events}
	expect(slices.Equal(idsOf(heard), idsOf(sent)), "heard %v", heard)
}

func count(ctx context.Context, url string) {
	relay := connect(ctx, url)
	publish(ctx, relay, sign(alice, 1, 1, ""), sign(alice, 1, 2, ""), sign(bob, 7, 3, ""))
	for kind, expected := range map[int]int64{1: 2, 7: 1, 9: 0} {
		counted := must(relay.Count(ctx, nostr.Filters{{Kinds: []int{kind}}}))
		expect(counted == expected, "%d of kind %d", counted, kind)
	}
}

func authentication(ctx context.Context, url string) {
	relay := connect(ctx, url)
	event := sign(alice, 1, 1, "protected", nostr.Tag{"-"})
	expectRefusal(relay.Publish(ctx, event), "auth-required: ")
	answer := func(key string) error {
		return relay.Auth(ctx, func(challenge *nostr.Event) error { return challenge.Sign(key) })
	}
	expect(answer(bob) == nil, "the relay does not take our answer")
	expectRefusal(relay.Publish(ctx, event), "restricted: ")
	expect(answer(alice) == nil, "the relay does not take our answer")
	publish(ctx, relay, event)
	expectStored(ctx, relay, nostr.Filter{}, event)
}

// What we have, for the library to reconcile with.
type store struct {
	mutex  sync.Mutex
	events map[string]nostr.Event
}

func (s *store) Publish(_ context.Context, event nostr.Event) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.events[event.ID] = event
	return nil
}

func (s *store) QuerySync(_ context.Context, filter nostr.Filter) ([]*nostr.Event, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	found := []*nostr.Event{}
	for _, event := range s.events {
		if filter.Matches(&event) {
			found = append(found, &event)
		}
	}
	return found, nil
}

func (s *store) QueryEvents(ctx context.Context, filter nostr.Filter) (chan *nostr.Event, error) {
	found, err := s.QuerySync(ctx, filter)
	channel := make(chan *nostr.Event, len(found))
	for _, event := range found {
		channel <- event
	}
	close(channel)
	return channel, err
}

// What each side lacks of the other goes both ways, by NIP-77.
func reconciliation(ctx context.Context, url string) {
	all := []nostr.Event{}
	for age := range 300 {
		all = append(all, sign([]string{alice, bob}[age%2], 1, age, ""))
	}
	ours := &store{events: map[string]nostr.Event{}}
	for _, event := range all[:200] {
		ours.Publish(ctx, event)
	}
	relay := connect(ctx, url)
	publish(ctx, relay, all[100:]...)
	publish(ctx, relay, sign(alice, 7, 1, "not asked for"))
	filter := nostr.Filter{Kinds: []int{1}}
	err := nip77.NegentropySync(ctx, ours, url, filter)
	expect(err == nil, "%v", err)
	expect(len(ours.events) == len(all), "we have %d", len(ours.events))
	expectStored(ctx, relay, filter, all...)
}

func main() {
	cases := map[string]func(context.Context, string){
		"events": events, "live": live, "count": count, "authentication": authentication,
		"reconciliation": reconciliation,
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	time.AfterFunc(patience, func() {
		fmt.Fprintln(os.Stderr, "the relay kept us waiting")
		os.Exit(1)
	})
	cases[os.Args[1]](ctx, os.Args[2])
}
