package httpapi

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

type healthCheckInput struct {
	Body struct {
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers,omitempty"`
	}
}

// healthCheckBody is the reference's shape: one of the two.
type healthCheckBody struct {
	Success *healthSuccess `json:"success,omitempty"`
	Failure *healthFailure `json:"failure,omitempty"`
}

type healthSuccess struct {
	Version string `json:"version"`
}

type healthFailure struct {
	Error metadataError `json:"error"`
}

type metadataError struct {
	Message  string         `json:"message"`
	Details  *string        `json:"details,omitempty"`
	Metadata map[string]any `json:"metadata"`
}

type refreshInput struct {
	NamespaceParam
	PoolPath
	Body struct{}
}

func (a *api) registerServerless() {
	register(a, huma.Operation{
		OperationID: "runner_configs_serverless_health_check", Method: http.MethodPost, Path: "/runner-configs/serverless-health-check",
		Summary: "Ask a url for its metadata, as the engine would for a pool",
	}, a.healthCheck)
	register(a, huma.Operation{
		OperationID: "runner_configs_refresh_metadata", Method: http.MethodPost, Path: "/runner-configs/{runner_name}/refresh-metadata",
		Summary: "Ask the endpoint of a serverless pool for its version now",
	}, a.refreshMetadata)
}

func (a *api) healthCheck(ctx context.Context, in *healthCheckInput) (*answer[healthCheckBody], error) {
	request := &callboardv1.CheckHealthRequest{Url: in.Body.URL}
	for name, value := range in.Body.Headers {
		request.Headers = append(request.Headers, &callboardv1.Header{Name: name, Value: value})
	}
	slices.SortFunc(request.GetHeaders(), func(a, b *callboardv1.Header) int { return strings.Compare(a.GetName(), b.GetName()) })
	got, err := a.Pools.CheckHealth(ctx, request)
	if err != nil {
		return nil, err
	}
	check := got.GetCheck()
	if wrong := check.GetError(); wrong != nil {
		metadata := map[string]any{"kind": wrong.GetCode()}
		for key, value := range wrong.GetMetadata() {
			metadata[key] = value
		}
		return &answer[healthCheckBody]{Body: healthCheckBody{Failure: &healthFailure{Error: metadataError{Message: wrong.GetMessage(), Metadata: metadata}}}}, nil
	}
	return &answer[healthCheckBody]{Body: healthCheckBody{Success: &healthSuccess{Version: check.GetVersion()}}}, nil
}

func (a *api) refreshMetadata(ctx context.Context, in *refreshInput) (*answer[emptyBody], error) {
	got, err := a.Pools.RefreshMetadata(ctx, &callboardv1.RefreshMetadataRequest{Namespace: in.Namespace, Pool: in.RunnerName})
	if err != nil {
		return nil, err
	}
	if wrong := got.GetCheck().GetError(); wrong != nil {
		return nil, wrong
	}
	return &answer[emptyBody]{Index: indexText(got.GetIndex())}, nil
}
