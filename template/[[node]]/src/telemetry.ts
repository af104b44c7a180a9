/**
 * What this service tells about itself: JSON logs, traces and metrics.
 *
 * The rest of the service needs only what is exported:
 *
 *     start(...)         once, before anything logs
 *     log                the logger (pino): log.info({ attempts: 3 }, "message")
 *     instrument(f)      wraps the request listener of the HTTP server
 *     setRoute(r, ...)   names the route that answers a request, once it is known
 *     fail(error)        logs an error that no one expected, and marks the span
 *     span(name, ...)    a span around a call to a store
 *     untraced(work)     runs what is none of the service's own business, such as flags
 *     errorType(error)   what `error.type` says about an error
 *     count(name)        counts one event of a counter named in BUSINESS_METRICS
 *     gauge(name, read)  where to read a gauge named in BUSINESS_METRICS
 *     shutdown()         sends what is left, in bounded time
 *
 * What `fetch` and undici send is traced and measured as it is, and carries `traceparent` on.
 *
 * Nothing about a user leaves the process: attributes are allowed by name,
 * everything else is dropped, and of an error only its type and its frames are
 * kept, never its message. Standard variables (OTEL_*) configure the exporters;
 * without OTEL_EXPORTER_OTLP_ENDPOINT nothing is sent, but ids and logs go on.
 */

import { randomUUID } from "node:crypto";
import { readdirSync } from "node:fs";
import type { IncomingMessage, RequestListener } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import {
	type Attributes,
	type Context,
	type Counter,
	context,
	DiagLogLevel,
	diag,
	isSpanContextValid,
	type Logger,
	metrics,
	propagation,
	ROOT_CONTEXT,
	SeverityNumber,
	SpanKind,
	SpanStatusCode,
	type TextMapGetter,
	type TextMapSetter,
	trace,
} from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import {
	isTracingSuppressed,
	setGlobalErrorHandler,
	suppressTracing,
	W3CTraceContextPropagator,
} from "@opentelemetry/core";
import { OTLPLogExporter } from "@opentelemetry/exporter-logs-otlp-proto";
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-proto";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { RuntimeNodeInstrumentation } from "@opentelemetry/instrumentation-runtime-node";
import { UndiciInstrumentation } from "@opentelemetry/instrumentation-undici";
import {
	defaultResource,
	detectResources,
	envDetector,
	resourceFromAttributes,
} from "@opentelemetry/resources";
import {
	BatchLogRecordProcessor,
	LoggerProvider,
} from "@opentelemetry/sdk-logs";
import {
	AggregationType,
	createAllowListAttributesProcessor,
	MeterProvider,
	PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import {
	AlwaysOffSampler,
	AlwaysOnSampler,
	BatchSpanProcessor,
	ParentBasedSampler,
	type ReadableSpan,
	type Sampler,
	type SpanExporter,
	TraceIdRatioBasedSampler,
	TracerProvider,
} from "@opentelemetry/sdk-trace";
import { pino } from "pino";

// What may leave the process -------------------------------------------------

/** Asked every few seconds: no telemetry. */
export const HEALTH = new Set(["/livez", "/readyz", "/startupz"]);

const HTTP = [
	"http.request.method",
	"http.response.status_code",
	"http.route",
	"url.scheme",
	"network.protocol.version",
	"error.type",
];
// server.address of a request that comes in is the Host header, which a stranger writes.
const CLIENT = ["server.address", "server.port"];
const DATABASE = ["db.system.name", "db.operation.name", "db.collection.name"];
const SPANS = new Set([...HTTP, ...DATABASE]);
const CLIENT_SPANS = new Set([...SPANS, ...CLIENT]);

// Instruments that are not listed here are dropped. Attributes of your own begin with "app.".
const METRICS = {
	"http.server.request.duration": HTTP,
	"http.server.active_requests": ["http.request.method", "url.scheme"],
	"http.client.request.duration": [...HTTP, ...CLIENT],
	"nodejs.*": ["nodejs.eventloop.state"],
	"process.*": ["cpu.mode"],
	"v8js.*": ["v8js.gc.type", "v8js.heap.space.name", "v8js.resource.type"],
	"app.*": [],
};

function allowed(span: ReadableSpan): ReadableSpan {
	const names = span.kind === SpanKind.CLIENT ? CLIENT_SPANS : SPANS;
	const attributes = Object.entries(span.attributes).filter(
		([name]) => names.has(name) || name.startsWith("app."),
	);
	const events = span.events
		.filter(({ name }) => name === "exception")
		.map(({ name, time, attributes }) => {
			const type = attributes?.["exception.type"];
			return { name, time, attributes: type ? { "exception.type": type } : {} };
		});
	return {
		name: span.name,
		kind: span.kind,
		spanContext: () => span.spanContext(),
		...(span.parentSpanContext && {
			parentSpanContext: span.parentSpanContext,
		}),
		startTime: span.startTime,
		endTime: span.endTime,
		resource: span.resource,
		instrumentationScope: span.instrumentationScope,
		attributes: Object.fromEntries(attributes),
		events,
		links: span.links.map(({ context }) => ({ context })),
		status: { code: span.status.code }, // its message quotes the error
		duration: span.duration,
		ended: span.ended,
		droppedAttributesCount: 0,
		droppedEventsCount: 0,
		droppedLinksCount: 0,
	};
}

/** Passes spans on with the attributes that are allowed by name, and nothing else. */
function allowedOnly(exporter: SpanExporter): SpanExporter {
	return {
		export: (spans, done) => exporter.export(spans.map(allowed), done),
		shutdown: () => exporter.shutdown(),
		forceFlush: async () => exporter.forceFlush?.(),
	};
}

/** Takes in and passes on `traceparent` alone: the rest would carry a stranger's bytes further. */
class TraceparentOnly extends W3CTraceContextPropagator {
	override inject(from: Context, carrier: unknown, setter: TextMapSetter) {
		super.inject(from, carrier, {
			set: (into, name, value) =>
				name === "traceparent" && setter.set(into, name, value),
		});
	}

	override extract(into: Context, carrier: unknown, getter: TextMapGetter) {
		return super.extract(into, carrier, {
			keys: (from) => getter.keys(from),
			get: (from, name) =>
				name === "traceparent" ? getter.get(from, name) : undefined,
		});
	}

	override fields() {
		return ["traceparent"];
	}
}

// Logs -----------------------------------------------------------------------

const SEVERITIES: Record<string, [severity: string, number: SeverityNumber]> = {
	fatal: ["error", SeverityNumber.ERROR],
	error: ["error", SeverityNumber.ERROR],
	warn: ["warn", SeverityNumber.WARN],
	info: ["info", SeverityNumber.INFO],
	debug: ["debug", SeverityNumber.DEBUG],
	trace: ["debug", SeverityNumber.DEBUG],
};

let serviceName = "";
let otlp: Logger | undefined;

const stdout = pino.destination({ fd: 1, sync: true });
stdout.on("error", () => {}); // nobody reads: nothing can be said about it

/** Writes each record as one JSON object on stdout; the same goes out by OTLP. */
export const log = pino(
	{
		level: "silent", // until `start`
		base: null,
		messageKey: "message",
		timestamp: () => `,"timestamp":"${new Date().toISOString()}"`,
		mixin: () => {
			const active = trace.getActiveSpan()?.spanContext();
			return {
				"service.name": serviceName,
				...(active &&
					isSpanContextValid(active) && {
						trace_id: active.traceId,
						span_id: active.spanId,
					}),
			};
		},
		formatters: {
			level: (label) => ({ severity: SEVERITIES[label]?.[0] ?? "error" }),
			log: plain,
		},
		hooks: {
			// An error given alone would become the message, with all that it quotes.
			logMethod(args, method) {
				const [first, message] = args as unknown[];
				if (typeof first === "object" && typeof message !== "string")
					method.apply(this, [first, "error"]);
				else method.apply(this, args);
			},
		},
	},
	{ write },
);

/** Strings, numbers and booleans as they are; of an error its type and frames; no more. */
function plain(attributes: object): Record<string, string | number | boolean> {
	const kept: Record<string, string | number | boolean> = {};
	for (const [name, value] of Object.entries(attributes)) {
		if (value instanceof Error) Object.assign(kept, described(value));
		else if (["string", "number", "boolean"].includes(typeof value))
			kept[name] = value;
	}
	return kept;
}

function described(error: Error) {
	return {
		"exception.type": error.name,
		"exception.stacktrace": frames(error),
	};
}

const FRAME = /^ {4}at .*(:\d+:\d+|<anonymous>|native)\)?$/;

/** The frames of an error and of its causes, without their messages. */
function frames(error: Error, depth = 0): string {
	const stack = error.stack ?? "";
	const message = stack.indexOf(error.message);
	const below =
		message < 0 ? stack : stack.slice(message + error.message.length);
	const lines = below.split("\n").filter((line) => FRAME.test(line));
	const own = [error.name, ...lines].join("\n");
	return error.cause instanceof Error && depth < 10
		? `${own}\ncaused by ${frames(error.cause, depth + 1)}`
		: own;
}

function write(line: string) {
	stdout.write(line);
	if (!otlp) return;
	const { timestamp, severity, message, ...attributes } = JSON.parse(line);
	for (const name of ["service.name", "trace_id", "span_id"])
		delete attributes[name];
	otlp.emit({
		timestamp: new Date(timestamp),
		severityText: severity,
		severityNumber: SEVERITIES[severity]?.[1] ?? SeverityNumber.ERROR,
		body: message,
		attributes,
	});
}

let complainedAt = Number.NEGATIVE_INFINITY;

/** Says once a minute that the export has trouble; that must not become more to export. */
function exportTrouble(error: unknown) {
	if (performance.now() - complainedAt < 60_000) return;
	complainedAt = performance.now();
	const exporting = otlp;
	otlp = undefined;
	log.warn({ "error.type": errorType(error) }, "telemetry cannot be sent");
	otlp = exporting;
}

/** Begin to write logs; `start` does this too. */
export function startLogs(name: string, level: string) {
	serviceName = name;
	log.level = level;
	process.removeAllListeners("warning"); // it prints them, with all that they quote
	process.on("warning", (warning) =>
		log.warn({ "error.type": errorType(warning) }, "a warning of Node"),
	);
	process.on("uncaughtException", crash);
	process.on("unhandledRejection", crash);
}

let crashing = false;

function crash(error: unknown) {
	log.error({ error }, "crashed");
	if (crashing) return;
	crashing = true;
	shutdown().finally(() => process.exit(1));
}

// Start and stop -------------------------------------------------------------

const tracer = trace.getTracer("app");
let instruments = createInstruments();
const counters = new Map<string, Counter>();
const gauges = new Map<string, () => number>();
const stops: (() => Promise<void>)[] = [];

export interface Options {
	serviceName: string;
	logLevel: string;
	/** Name to "counter" or "gauge". */
	businessMetrics: ReadonlyMap<string, string>;
}

/** Set up logs, traces and metrics for this process. */
export function start(options: Options) {
	for (const [name, value] of Object.entries(process.env))
		if (name.startsWith("OTEL_") && !value) delete process.env[name]; // empty means absent
	const env = process.env;
	const exporting = env.OTEL_EXPORTER_OTLP_ENDPOINT !== undefined;

	startLogs(options.serviceName, options.logLevel);
	setGlobalErrorHandler(exportTrouble);
	const silent = () => {};
	diag.setLogger(
		{
			error: exportTrouble,
			warn: exportTrouble,
			info: silent,
			debug: silent,
			verbose: silent,
		},
		{ logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
	);

	const own: Attributes = { "service.instance.id": randomUUID() };
	const version = env.SERVICE_VERSION; // the image's; the environment may know better
	if (version) own["service.version"] = version;
	const resource = defaultResource()
		.merge(resourceFromAttributes(own))
		.merge(detectResources({ detectors: [envDetector] }))
		.merge(resourceFromAttributes({ "service.name": options.serviceName }));

	context.setGlobalContextManager(
		new AsyncLocalStorageContextManager().enable(),
	);
	propagation.setGlobalPropagator(new TraceparentOnly());
	const spanExporter = allowedOnly(new OTLPTraceExporter());
	const tracers = new TracerProvider({
		resource,
		sampler: sampler(env.OTEL_TRACES_SAMPLER, env.OTEL_TRACES_SAMPLER_ARG),
		spanProcessors: exporting
			? [new BatchSpanProcessor({ exporter: spanExporter })]
			: [],
	});
	trace.setGlobalTracerProvider(tracers);

	const reader = new PeriodicExportingMetricReader({
		exporter: new OTLPMetricExporter({
			// Of what no view names.
			aggregationPreference: () => ({ type: AggregationType.DROP }),
		}),
		exportIntervalMillis: Number(env.OTEL_METRIC_EXPORT_INTERVAL ?? 60_000),
	});
	const meters = new MeterProvider({
		resource,
		readers: exporting ? [reader] : [],
		views: Object.entries(METRICS).map(([instrumentName, names]) => ({
			instrumentName,
			attributesProcessors: [createAllowListAttributesProcessor(names)],
		})),
	});
	metrics.setGlobalMeterProvider(meters);
	stops.push(
		() => tracers.shutdown(),
		() => meters.shutdown(),
	);

	if (exporting && env.OTEL_LOGS_EXPORTER !== "none") {
		const loggers = new LoggerProvider({
			resource,
			processors: [
				new BatchLogRecordProcessor({ exporter: new OTLPLogExporter() }),
			],
		});
		otlp = loggers.getLogger("app");
		stops.push(() => loggers.shutdown());
	}

	instruments = createInstruments();
	new RuntimeNodeInstrumentation().setMeterProvider(meters); // it misses the global one
	new UndiciInstrumentation({
		ignoreRequestHook: () => isTracingSuppressed(context.active()),
	});
	observeProcess();
	const meter = metrics.getMeter("app");
	for (const [name, kind] of options.businessMetrics) {
		if (kind === "counter") {
			const counter = meter.createCounter(`app.${name}`);
			counter.add(0); // a rate needs a value before the first event
			counters.set(name, counter);
		} else {
			const gauge = meter.createObservableGauge(`app.${name}`);
			gauge.addCallback((result) => result.observe(gauges.get(name)?.() ?? 0));
		}
	}
}

/** The standard samplers by the names that OTEL_TRACES_SAMPLER gives them. */
function sampler(name = "parentbased_always_on", ratio = "1"): Sampler {
	const [, parent, root] = /^(parentbased_)?(.*)$/.exec(name) ?? [];
	const chosen =
		root === "always_off"
			? new AlwaysOffSampler()
			: root === "traceidratio"
				? new TraceIdRatioBasedSampler(Number(ratio))
				: new AlwaysOnSampler();
	return parent ? new ParentBasedSampler({ root: chosen }) : chosen;
}

/** Send what is left; give up after a while, as when the collector is gone. */
export async function shutdown(milliseconds = 3000) {
	const stopped = Promise.allSettled(stops.splice(0).map((stop) => stop()));
	await Promise.race([stopped, sleep(milliseconds)]);
}

// HTTP -----------------------------------------------------------------------

const METHODS = new Set(
	"CONNECT DELETE GET HEAD OPTIONS PATCH POST PUT QUERY TRACE".split(" "),
);
const routes = new WeakMap<IncomingMessage, string>();

function createInstruments() {
	const meter = metrics.getMeter("app");
	return {
		duration: meter.createHistogram("http.server.request.duration", {
			description: "Duration of HTTP server requests.",
			unit: "s",
			advice: {
				explicitBucketBoundaries: [
					0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5,
					10,
				],
			},
		}),
		active: meter.createUpDownCounter("http.server.active_requests", {
			description: "Number of active HTTP server requests.",
			unit: "{request}",
		}),
	};
}

/** Add the server span, its metrics, the `traceresponse` header and the access log. */
export function instrument(listener: RequestListener): RequestListener {
	return (request, response) => {
		if (HEALTH.has(request.url?.split("?", 1)[0] ?? "")) {
			untraced(() => listener(request, response));
			return;
		}
		const started = performance.now();
		const method = METHODS.has(request.method ?? "")
			? (request.method as string)
			: "_OTHER";
		const common = { "http.request.method": method, "url.scheme": "http" };
		const parent = propagation.extract(ROOT_CONTEXT, request.headers);
		const span = tracer.startSpan(
			method === "_OTHER" ? "HTTP" : method,
			{ kind: SpanKind.SERVER, attributes: common },
			parent,
		);
		const active = trace.setSpan(parent, span);
		const { traceId, spanId, traceFlags } = span.spanContext();
		response.setHeader(
			"traceresponse",
			`00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`,
		);
		instruments.active.add(1, common);

		response.once("close", () => {
			const seconds = (performance.now() - started) / 1000;
			const route = routes.get(request);
			// Without a head, the client left before there was an answer.
			const status = response.headersSent ? response.statusCode : undefined;
			const attributes: Attributes = {
				...common,
				"network.protocol.version": request.httpVersion,
				...(route && { "http.route": route }),
				...(status && { "http.response.status_code": status }),
				...(status === undefined && { "error.type": "client_closed" }),
				...((status ?? 0) >= 500 && { "error.type": `${status}` }),
			};
			span.setAttributes(attributes);
			if (route) span.updateName(`${method} ${route}`);
			if ((status ?? 0) >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
			instruments.active.add(-1, common);
			instruments.duration.record(seconds, attributes);
			context.with(active, () =>
				log.info(
					{
						"http.request.method": method,
						"http.route": route,
						"http.response.status_code": status,
						duration_seconds: Number(seconds.toFixed(6)),
					},
					"request",
				),
			);
			span.end();
		});
		// What the parser emits later would otherwise know nothing of this request.
		context.bind(active, request);
		context.bind(active, response);
		context.with(active, listener, undefined, request, response);
	};
}

/** Name the route of a request as its pattern, `/signups/{id}`; never as its path. */
export function setRoute(request: IncomingMessage, pattern: string) {
	routes.set(request, pattern);
}

/** An error that no one expected: its type and frames in the log, its type on the span. */
export function fail(error: unknown) {
	const known = error instanceof Error ? error : new Error(typeof error);
	trace.getActiveSpan()?.recordException(known);
	log.error({ error: known }, "request failed");
}

/** What kind of error: a system's or driver's code, else the name of its class. */
export function errorType(error: unknown): string {
	if (!(error instanceof Error)) return "error";
	const { code } = error as NodeJS.ErrnoException;
	if (typeof code === "string") return code;
	return error.cause instanceof Error ? errorType(error.cause) : error.name;
}

// The service's own ----------------------------------------------------------

/** Trace a call to a store; of its failure only the type is recorded. */
export function span<T>(
	name: string,
	attributes: Attributes,
	work: () => Promise<T>,
): Promise<T> {
	const options = { kind: SpanKind.CLIENT, attributes };
	return tracer.startActiveSpan(name, options, async (span) => {
		try {
			return await work();
		} catch (error) {
			span.setAttribute("error.type", errorType(error));
			span.setStatus({ code: SpanStatusCode.ERROR });
			throw error;
		} finally {
			span.end();
		}
	});
}

/** Run something without spans and metrics of the calls in it. */
export function untraced<T>(work: () => T): T {
	return context.with(suppressTracing(context.active()), work);
}

/** Count one event; a name that BUSINESS_METRICS does not list is not counted. */
export function count(name: string) {
	counters.get(name)?.add(1);
}

/** Say where the value of a gauge comes from; until then it is 0. */
export function gauge(name: string, read: () => number) {
	gauges.set(name, read);
}

function observeProcess() {
	const meter = metrics.getMeter("app");
	meter
		.createObservableUpDownCounter("process.memory.usage", { unit: "By" })
		.addCallback((result) => result.observe(process.memoryUsage.rss()));
	meter
		.createObservableCounter("process.cpu.time", { unit: "s" })
		.addCallback((result) => {
			const { user, system } = process.cpuUsage();
			result.observe(user / 1e6, { "cpu.mode": "user" });
			result.observe(system / 1e6, { "cpu.mode": "system" });
		});
	meter
		.createObservableUpDownCounter("process.unix.file_descriptor.count", {
			unit: "{file_descriptor}",
		})
		.addCallback((result) => {
			try {
				result.observe(readdirSync("/proc/self/fd").length);
			} catch {} // not Linux
		});
}
