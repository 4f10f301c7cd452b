package runner

import "time"

// Limits. Each names what happens when it is reached.
const (
	// MaxStateBytes bounds what Save takes: more is refused.
	MaxStateBytes = 64 << 10

	// DefaultSlots is how many actors a runner takes unless Config.Slots says otherwise.
	DefaultSlots = 1000
	// MaxSlots bounds Config.Slots: more is refused.
	MaxSlots = 1_000_000

	// DefaultShutdownGrace is how long a shutdown waits for the actors, and MaxShutdownGrace the most it can be told to.
	DefaultShutdownGrace = 120 * time.Second
	MaxShutdownGrace     = 30 * time.Minute

	// maxNameBytes bounds engine addresses: longer ones are refused.
	maxNameBytes = 1024
	// maxHandledNames bounds how many names a runner without HandleAny has handlers for: with more, Run ends at once.
	maxHandledNames = 256
	// maxActorName bounds the names of actors: Handle panics at a longer one.
	maxActorName = 256
	// These bound the fields of a Config as the engine does: more is refused before it is sent.
	maxNamespaceBytes  = 64
	maxPoolBytes       = 128
	maxKeyBytes        = 256
	maxAdvertisedBytes = 256
	maxTokenBytes      = 16 << 10
	maxMetadataBytes   = 64 << 10

	// setChunk is how many actors one Hello names; more go into the next.
	setChunk = 1000
	// maxBatchEvents and maxBatchBytes bound one ActorEvents; more go into the next.
	maxBatchEvents = 1000
	maxBatchBytes  = 1 << 20
	// maxBatchesInFlight is how many ActorEvents wait for an acknowledgement; further events wait, and share the next batch.
	maxBatchesInFlight = 8

	// inboxLength is how many messages wait for the loop; senders wait.
	inboxLength = 256
	// inboxBurst is how many messages the loop takes before it looks at its queues again.
	inboxBurst = 256
	// outboxLength is how many messages wait for a stream's writer; a full one closes the stream.
	outboxLength = 256
	// maxBeats is how many heartbeats of one stream wait for an acknowledgement; the oldest are forgotten and renew nothing.
	maxBeats = 64
	// maxWaitingStartBytes bounds the Starts that wait while a Hello is out; more closes the old stream.
	maxWaitingStartBytes = 64 << 20
	// maxUnacknowledgedEnds is how many ends above the slots may wait for an acknowledgement; more closes the stream.
	maxUnacknowledgedEnds = 10_000
	// maxEndedMemory is how many acknowledged ends are remembered, see endedMemory; the oldest are forgotten.
	maxEndedMemory = 1 << 14
	// maxReceiveBytes bounds a message from the engine: more ends the stream.
	maxReceiveBytes = 16 << 20
	// maxReasonBytes bounds the sentence in an actor's end; longer ones are cut.
	maxReasonBytes = 1 << 10
	// maxLearntAddresses bounds the engine addresses learnt from the engine; more are ignored.
	maxLearntAddresses = 64
	// maxBackgroundTasks bounds the running WaitUntil functions of one actor: more are refused.
	maxBackgroundTasks = 10_000
	// maxHooks bounds an actor's OnSleep hooks: more are refused.
	maxHooks = 1000
)

// Times that are not configurable.
const (
	// maxReconnectPause is the longest pause between two dials; a fifth of the lost threshold if that is shorter.
	maxReconnectPause = 2 * time.Second
	minReconnectPause = 100 * time.Millisecond
	// welcomeTimeout is how long a dial may take until the Welcome; a third of the lost threshold if that is shorter.
	welcomeTimeout = 5 * time.Second
	// minHeartbeatInterval keeps a senseless threshold from becoming a flood.
	minHeartbeatInterval = 10 * time.Millisecond
	// stopMargin is how long before the engine's deadline a stop ends here.
	stopMargin = time.Second
	// suspensionPoll is how often the watchdog looks at a clock that may run ahead of the process's timers.
	suspensionPoll = 100 * time.Millisecond
	// maxSleep is how long the loop sleeps at most.
	maxSleep = time.Minute
	// clockJumpLimit is by how much the wall clock may part from the lease clock before the lease ends.
	clockJumpLimit = time.Second
	// fenceMinimum is what fenced code has to return even when the fence came late (the process was suspended).
	fenceMinimum = 100 * time.Millisecond
	// startHold is how long a Start waits for the abandoned code of an earlier life of its actor before it is refused.
	startHold = 5 * time.Second
	// endFlush is how long the end of Run waits until its last log lines are written.
	endFlush = time.Second
	// exitFlush is the same for OnStuck: ExitProcess, which may not be late.
	exitFlush = 100 * time.Millisecond
	// killGrace is what code has to return when Run ends at once.
	killGrace = 100 * time.Millisecond
	// reportGrace is how long a shutdown waits for acknowledgements after the last actor has ended.
	reportGrace = 5 * time.Second
	// farewellTimeout is how long Run waits for the engine to close the stream after Goodbye.
	farewellTimeout = 2 * time.Second
	// refusedStopTimeout bounds the stops of a runner that the engine has refused.
	refusedStopTimeout = 30 * time.Second
)

// Shares of the lost threshold T, in percent.
const (
	leasePercent   = 70 // a lease is valid until here
	abandonPercent = 85 // fenced code that has not returned is given up here
)
