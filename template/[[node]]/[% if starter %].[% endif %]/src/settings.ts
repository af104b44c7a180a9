/** The configuration of the service: environment variables and mounted files, nothing else. */

import { readFileSync } from "node:fs";

export type Environment = Readonly<Record<string, string | undefined>>;

const LOG_LEVELS = ["error", "warn", "info", "debug"];
const SAMPLERS = [
	"always_on",
	"always_off",
	"traceidratio",
	"parentbased_always_on",
	"parentbased_always_off",
	"parentbased_traceidratio",
];

/** A variable is missing or malformed; the text names it and says what is accepted. */
export class ConfigurationError extends Error {
	override name = "ConfigurationError";

	constructor(name: string, problem: string) {
		super(`configuration: ${name}: ${problem}`);
	}
}

/** A file that should hold a secret is empty, as while it is being replaced. */
export class EmptySecretError extends Error {
	override name = "EmptySecretError";
}

/** What every part of the service may need; a store reads its own variables. */
export interface Settings {
	port: number;
	serviceName: string;
	logLevel: string;
	drainSeconds: number;
	businessMetrics: ReadonlyMap<string, string>;
	upstreamUrl: string | undefined;
	flagsUrl: string | undefined;
}

/** Read and check the environment; throws `ConfigurationError`. */
export function readSettings(env: Environment): Settings {
	checkTelemetry(env);
	return {
		port: port(env),
		serviceName: serviceName(env),
		logLevel: oneOf(env, "LOG_LEVEL", LOG_LEVELS),
		drainSeconds: wholeNumber(
			env,
			"SHUTDOWN_DRAIN_SECONDS",
			"whole seconds",
			0,
			3600,
		),
		businessMetrics: businessMetrics(env),
		upstreamUrl: optionalUrl(env, "UPSTREAM_URL"),
		flagsUrl: optionalUrl(env, "FLAGS_URL"),
	};
}

/** A variable that must be set; an empty one counts as missing. */
function required(env: Environment, name: string, accepted: string): string {
	const value = env[name];
	if (!value) throw new ConfigurationError(name, `missing; set ${accepted}`);
	return value;
}

function wholeNumber(
	env: Environment,
	name: string,
	noun: string,
	lowest: number,
	highest: number,
): number {
	const accepted = `${noun} from ${lowest} to ${highest}`;
	const value = required(env, name, accepted);
	const number = /^[0-9]{1,9}$/.test(value) ? Number(value) : Number.NaN;
	if (!(lowest <= number && number <= highest))
		throw new ConfigurationError(name, `${quoted(value)} is not ${accepted}`);
	return number;
}

function oneOf(
	env: Environment,
	name: string,
	choices: readonly string[],
): string {
	const accepted = `one of ${choices.join(", ")}`;
	const value = required(env, name, accepted);
	if (!choices.includes(value))
		throw new ConfigurationError(name, `${quoted(value)} is not ${accepted}`);
	return value;
}

/** The port to listen on. */
export function port(env: Environment): number {
	return wholeNumber(env, "PORT", "a port number", 1, 65535);
}

/** The name that logs, traces and metrics carry. */
function serviceName(env: Environment): string {
	const name = "OTEL_SERVICE_NAME";
	const value = required(env, name, "the name of the service");
	if (!/^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/.test(value)) {
		const accepted = "lower-case letters, digits and dashes, at most 63";
		throw new ConfigurationError(
			name,
			`${quoted(value)} is not a DNS label: ${accepted}`,
		);
	}
	return value;
}

/** `signups=counter,active_users=gauge` by name; may be empty. */
function businessMetrics(env: Environment): Map<string, string> {
	const found = new Map<string, string>();
	for (const item of (env.BUSINESS_METRICS ?? "").split(",")) {
		if (!item) continue;
		const [, name, kind] =
			/^([a-z][a-z0-9_.]*)=(counter|gauge)$/.exec(item) ?? [];
		if (!name || !kind)
			throw new ConfigurationError(
				"BUSINESS_METRICS",
				`${quoted(item)} is not name=counter or name=gauge`,
			);
		found.set(name, kind);
	}
	return found;
}

/** An http URL without its trailing slash, if it is set. Its value is never printed. */
function optionalUrl(env: Environment, name: string): string | undefined {
	if (!env[name]) return undefined;
	const value = url(env, name, ["http", "https"]);
	if (value.username)
		throw new ConfigurationError(name, "holds a user, which is not accepted");
	return value.href.replace(/\/+$/, "");
}

/** A URL with a host and without a password. Its value is never printed. */
export function url(
	env: Environment,
	name: string,
	schemes: readonly string[],
): URL {
	const accepted = `a ${schemes.join(" or ")} URL with a host`;
	const value = required(env, name, accepted);
	const wellFormed =
		/^[!-~]+$/.test(value) &&
		schemes.some((scheme) => value.startsWith(`${scheme}://`));
	const parsed = wellFormed ? URL.parse(value) : null;
	if (!parsed?.hostname || parsed.port === "0")
		throw new ConfigurationError(name, `is not ${accepted}`);
	if (parsed.password)
		throw new ConfigurationError(
			name,
			"holds a password; put it in a file of its own",
		);
	return parsed;
}

/** The path of a readable file that holds a secret. */
export function secretFile(env: Environment, name: string): string {
	const path = required(env, name, "the path of a file that holds the secret");
	const shown = /^[!-~]+$/.test(path) ? path : quoted(path);
	try {
		readSecret(path);
	} catch (error) {
		const problem =
			error instanceof EmptySecretError ? "is empty" : "cannot be read";
		throw new ConfigurationError(name, `${shown} ${problem}`);
	}
	return path;
}

/** The secret in a file, without the newline that ends it. */
export function readSecret(path: string): string {
	const secret = readFileSync(path, "utf8").replace(/[\r\n]+$/, "");
	if (!secret) throw new EmptySecretError();
	return secret;
}

/** The variables of OpenTelemetry: wrong ones would be passed over without a word. */
function checkTelemetry(env: Environment) {
	optionalUrl(env, "OTEL_EXPORTER_OTLP_ENDPOINT");
	if (env.OTEL_METRIC_EXPORT_INTERVAL)
		wholeNumber(
			env,
			"OTEL_METRIC_EXPORT_INTERVAL",
			"milliseconds",
			100,
			3_600_000,
		);
	if (env.OTEL_LOGS_EXPORTER)
		oneOf(env, "OTEL_LOGS_EXPORTER", ["otlp", "none"]);
	if (env.OTEL_TRACES_SAMPLER) oneOf(env, "OTEL_TRACES_SAMPLER", SAMPLERS);
	const name = "OTEL_TRACES_SAMPLER_ARG";
	const ratio = env[name];
	if (ratio && !/^(0(\.[0-9]+)?|1(\.0+)?)$/.test(ratio))
		throw new ConfigurationError(
			name,
			`${quoted(ratio)} is not a ratio from 0 to 1`,
		);
}

/** A value on one line, shortened. */
function quoted(value: string): string {
	return JSON.stringify(
		value.length <= 60 ? value : `${value.slice(0, 60)}...`,
	);
}
