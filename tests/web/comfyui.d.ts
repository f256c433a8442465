/**
 * Of ComfyUI's frontend, what `web/` uses of it, as its versions from 1.27 on have it.
 *
 * What only some versions have is optional here.
 */
declare namespace Comfy {
  /** The `ui` result of a node, as its Python code made it. */
  type Output = Record<string, any>;

  type NodeId = number | string;

  interface Widget {
    name: string;
    value?: unknown;
    label?: string;
    serialize?: boolean;
    disabled?: boolean;
    linkedWidgets?: Widget[];
    beforeQueued?: (this: Widget, ...values: unknown[]) => void;
    afterQueued?: (this: Widget, ...values: unknown[]) => void;
    callback?: (this: Widget, ...values: unknown[]) => unknown;
    options: {
      values?: string[] | (() => string[]);
      getMinHeight?: () => number;
      disabled?: boolean;
    };
  }

  /** Nodes 2.0 heeds `hideInPanel` and `canvasOnly`, the classic canvas the others. */
  interface WidgetOptions {
    serialize?: boolean;
    canvasOnly?: boolean;
    hideInPanel?: boolean;
    hideOnZoom?: boolean;
    margin?: number;
    getMinHeight?: () => number;
    getValue?: () => string;
    setValue?: (value: string) => void;
  }

  interface Graph {
    id?: string;
    nodes?: Node[];
    isRootGraph?: boolean;
    getNodeById(id: NodeId): Node | null | undefined;
    setDirtyCanvas(front: boolean, back?: boolean): void;
  }

  interface Slot {
    name: string;
    label?: string;
    localized_name?: string;
    link?: number | null;
    shape?: number;
    constructor: Function & (new (slot: Slot, node: Node) => Slot);
  }

  interface Node {
    id: NodeId;
    comfyClass?: string;
    size: [width: number, height: number];
    type?: string;
    title?: string;
    widgets?: Widget[];
    inputs: Slot[];
    graph?: Graph | null;
    constructor: Function & { nodeData?: NodeData };
    addWidget(type: "button", name: string, value: null, callback: () => void, options: WidgetOptions): Widget;
    addDOMWidget(name: string, type: string, element: HTMLElement, options: WidgetOptions): Widget;
    addInput(name: string, type: string, options: Pick<Slot, "shape" | "localized_name">): Slot;
    removeInput(at: number): void;
    getInputNode(at: number): Node | null;
    computeSize(): [width: number, height: number];
    setSize(size: [width: number, height: number]): void;
    onExecuted?: (this: Node, output: Output | null | undefined, ...rest: unknown[]) => void;
    onConfigure?: (this: Node, ...values: unknown[]) => void;
    onConnectionsChange?: (this: Node, ...values: unknown[]) => void;
    onDragOver?: (this: Node, event: DragEvent) => boolean;
    onDragDrop?: (this: Node, event: DragEvent) => boolean | Promise<boolean>;
  }

  /** What the server says of a kind of node; an input is its type and its options. */
  interface NodeData {
    input?: Record<"required" | "optional", Record<string, [type: unknown, options?: Record<string, any>]> | undefined>;
  }

  interface Setting {
    id: string;
    category: string[];
    name: string;
    tooltip: string;
    type: "combo";
    options: string[];
    defaultValue: string;
  }

  /** Its methods are called in this order; all nodes wait for the first two. */
  interface Extension {
    name: string;
    settings?: Setting[];
    init?(): void | Promise<void>;
    setup?(): void | Promise<void>;
    nodeCreated?(node: Node): void;
    loadedGraphNode?(node: Node): void;
  }

  interface Message {
    severity: "error";
    summary: string;
    detail: string;
    life: number;
  }

  interface App {
    graph: Graph;
    rootGraph?: Graph;
    canvas?: {
      graph?: Graph | null;
      processMouseDown?(event: PointerEvent): void;
      processMouseWheel?(event: WheelEvent): void;
    };
    nodeOutputs?: Record<string, Output | undefined>;
    extensionManager?: {
      setting?: { get?(id: string): unknown };
      toast?: { add(message: Message): void };
    };
    registerExtension(extension: Extension): void;
  }

  interface Api {
    addEventListener(kind: "execution_cached", listener: (event: CustomEvent<{ nodes?: NodeId[] }>) => void): void;
    addEventListener(kind: "execution_success" | "progress_text", listener: () => void): void;
    apiURL(route: string): string;
    fetchApi(route: string, options?: RequestInit): Promise<Response>;
  }
}

declare var LiteGraph: { vueNodesMode?: boolean } | undefined;

interface Window {
  __COMFYUI_FRONTEND_VERSION__?: string;
}

declare module "*/scripts/app.js" {
  export const app: Comfy.App;
}

declare module "*/scripts/api.js" {
  export const api: Comfy.Api;
}
