package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// maxMetadataAnswer bounds what /metadata may answer: more is an error.
const maxMetadataAnswer = 1 << 20

func isURL(target string) bool {
	return strings.HasPrefix(target, "http://") || strings.HasPrefix(target, "https://")
}

// resolve returns the gRPC address behind a target: itself, or one of those that a URL's /metadata names.
func (k *link) resolve(l *loop) (string, error) {
	if !isURL(k.target) {
		return k.target, nil
	}
	addrs, err := askMetadata(k.ctx, l.cfg, k.target)
	if err != nil {
		return "", err
	}
	l.post(linkLearnt{targets: addrs})
	return addrs[rand.IntN(len(addrs))], nil
}

// engineMetadata is what the library reads of an engine's /metadata.
type engineMetadata struct {
	GRPCAddrs []string  `json:"grpc_addrs"`
	Runner    *struct { // of the pool that the query names
		NewestVersion         uint32 `json:"newest_version"`
		DrainOnVersionUpgrade bool   `json:"drain_on_version_upgrade"`
		MetadataPollInterval  uint64 `json:"metadata_poll_interval"`
	} `json:"runner"`
}

func askMetadata(ctx context.Context, cfg Config, endpoint string) ([]string, error) {
	answer, err := getMetadata(ctx, cfg, endpoint, nil)
	if err != nil {
		return nil, err
	}
	if len(answer.GRPCAddrs) == 0 {
		return nil, errors.New("GET " + endpoint + "/metadata: the answer names no grpc_addrs; is it a Callboard engine?")
	}
	return answer.GRPCAddrs, nil
}

// getMetadata asks an engine node once.
func getMetadata(ctx context.Context, cfg Config, endpoint string, query url.Values) (*engineMetadata, error) {
	endpoint = strings.TrimRight(endpoint, "/") + "/metadata"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint, nil)
	if err != nil {
		return nil, err
	}
	req.URL.RawQuery = query.Encode()
	if cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+cfg.Token)
	}
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, addr string) (net.Conn, error) { return cfg.Dial(ctx, addr) },
		TLSClientConfig:   cfg.TLS.Clone(),
		DisableKeepAlives: true,
	}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", endpoint, res.Status)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxMetadataAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", endpoint, err)
	}
	if len(body) > maxMetadataAnswer {
		return nil, fmt.Errorf("GET %s: the answer is larger than %d bytes", endpoint, maxMetadataAnswer)
	}
	answer := &engineMetadata{}
	if err := json.Unmarshal(body, answer); err != nil {
		return nil, fmt.Errorf("GET %s: %w", endpoint, err)
	}
	return answer, nil
}
