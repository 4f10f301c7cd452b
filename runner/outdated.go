package runner

import (
	"context"
	"math/rand/v2"
	"net/url"
	"time"
)

const (
	// versionPollEvery is how often a serverless runner asks the engine for the newest version of its pool until an answer says how often.
	versionPollEvery = 10 * time.Second
	// minVersionPoll is the shortest time between two polls.
	minVersionPoll = 5 * time.Second
	// versionPollTimeout bounds one poll.
	versionPollTimeout = 10 * time.Second
	// untoldPolls is how many polls in a row must name a newer version, without the engine having said that the runner drains, until the
	// runner drains by itself. The first may be ahead of what the session is about to say.
	untoldPolls = 2
	// maxEngineURLs bounds how many URLs of engine nodes a request may name.
	maxEngineURLs = 16
)

// versionPoll learns of a newer version without a session: as long as there is one, the engine says that the runner drains, and moves its
// actors at the pool's pace. A runner that the engine cannot reach drains by itself.
type versionPoll struct {
	cfg  Config
	urls []string    // of engine nodes
	told func() bool // the runner drains already
}

// run returns the newer version for which the runner should leave; 0 when ctx has ended.
func (p versionPoll) run(ctx context.Context) uint32 {
	every, untold := versionPollEvery, 0
	for turn := rand.IntN(len(p.urls)); ; {
		timer := time.NewTimer(every - rand.N(every/10)) // those that began together do not all ask together
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return 0
		}
		answer, err := p.ask(ctx, p.urls[turn%len(p.urls)])
		if err != nil || answer.Runner == nil {
			turn++
			continue
		}
		if ms := answer.Runner.MetadataPollInterval; ms > 0 {
			every = max(minVersionPoll, time.Duration(min(ms, 3_600_000))*time.Millisecond)
		}
		if !answer.Runner.DrainOnVersionUpgrade || answer.Runner.NewestVersion <= p.cfg.Version || p.told() {
			untold = 0
			continue
		}
		if untold++; untold == untoldPolls {
			return answer.Runner.NewestVersion
		}
	}
}

func (p versionPoll) ask(ctx context.Context, endpoint string) (*engineMetadata, error) {
	ctx, cancel := context.WithTimeout(ctx, versionPollTimeout)
	defer cancel()
	cfg := p.cfg
	cfg.Token = "" // /metadata asks for none, and the URL may be one that a request named
	return getMetadata(ctx, cfg, endpoint, url.Values{"namespace": {p.cfg.Namespace}, "runner_name": {p.cfg.Pool}})
}

// engineURLs picks the http(s) URLs of a comma list.
func engineURLs(list string) (urls []string) {
	for _, target := range splitEndpoint(list) {
		if isURL(target) && len(urls) < maxEngineURLs {
			urls = append(urls, target)
		}
	}
	return urls
}
