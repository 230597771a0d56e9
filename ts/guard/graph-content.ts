/** What is seen of a graph, in the words of those who read it. Pure. */
import type { JsonValue } from './canonical-json.js';
import type { EdgeKey } from './graph-conflicts.js';
import type { Properties } from './graph-patch.js';
import { compareTexts, type Facet, type GraphState, type Shown } from './graph-state.js';

/** A node as it is seen now. */
export interface GraphNode {
  id: string;
  type?: string;
  properties: Properties;
}

export interface GraphEdge extends EdgeKey {
  properties: Properties;
}

/** In order: nodes by id, edges by source, target and type. */
export function contentOf(state: GraphState): { nodes: GraphNode[]; edges: GraphEdge[] } {
  const nodes: GraphNode[] = [];
  const edges: GraphEdge[] = [];
  for (const { element } of state.elements()) {
    const shown = state.shown(element);
    if (!shown) continue;
    const { type, properties } = valuesOf(shown);
    if (element[0] === 'node') {
      nodes.push({ id: element[1], ...(type === undefined ? {} : { type }), properties });
    } else {
      const [, source, target, kind] = element;
      edges.push({ source, target, type: kind, properties });
    }
  }
  return { nodes: nodes.sort(byId), edges: edges.sort(byEnds) };
}

function valuesOf(shown: Shown): { type: string | undefined; properties: Properties } {
  let type: string | undefined;
  const properties: [string, JsonValue][] = [];
  for (const [key, value] of shown) {
    const [what, name = ''] = JSON.parse(key) as Facet;
    if (what === 'type') type = JSON.parse(value) as string;
    else properties.push([name, JSON.parse(value) as JsonValue]);
  }
  // Defines members, so that no name is special.
  return { type, properties: Object.fromEntries(properties.sort(([a], [b]) => compareTexts(a, b))) };
}

const byId = (a: GraphNode, b: GraphNode) => compareTexts(a.id, b.id);

function byEnds(a: EdgeKey, b: EdgeKey): number {
  return compareTexts(a.source, b.source) || compareTexts(a.target, b.target) || compareTexts(a.type, b.type);
}
