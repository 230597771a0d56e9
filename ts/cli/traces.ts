/** Where traces go, as the settings and the variables of OpenTelemetry say. Pure. */
import type { Settings } from '../config/index.js';
import { StompError } from '../errors.js';
import type { ServerOptions } from '../serve/index.js';

/** @throws StompError CONFIG_INVALID */
export function tracingOptions(
  { otlpEndpoint }: Pick<Settings, 'otlpEndpoint'>,
  env: NodeJS.ProcessEnv = process.env,
): Pick<ServerOptions, 'tracing'> {
  if (otlpEndpoint !== undefined) return { tracing: { url: below(otlpEndpoint, 'otlp-endpoint') } };
  if (env['OTEL_SDK_DISABLED']?.toLowerCase() === 'true' || env['OTEL_TRACES_EXPORTER'] === 'none') return {};
  const url = env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'];
  if (url) return { tracing: { url: checked(url, 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT') } };
  const endpoint = env['OTEL_EXPORTER_OTLP_ENDPOINT'];
  return endpoint ? { tracing: { url: below(endpoint, 'OTEL_EXPORTER_OTLP_ENDPOINT') } } : {};
}

/** The path for traces below an endpoint for everything. */
function below(endpoint: string, field: string): string {
  return `${checked(endpoint, field).replace(/\/+$/, '')}/v1/traces`;
}

function checked(url: string, field: string): string {
  if (/^https?:\/\//.test(url) && URL.canParse(url)) return url;
  throw new StompError('CONFIG_INVALID', `${field}: ${JSON.stringify(url)} is no http or https URL.`, {
    fields: { field, value: url, allowed: 'http://HOST:PORT or https://HOST:PORT' },
  });
}
