// @ts-check

/**
 * Widgets that others make idle look so, and cannot be changed; their values stay.
 * @param {Comfy.Node} node
 * @param {(name: string) => boolean} isIdle whether a widget is to be disabled
 */
export function greyOut(node, isIdle) {
  /** @type {Comfy.Widget | undefined} */
  let unseen;
  for (const widget of node.widgets ?? []) {
    const idle = isIdle(widget.name);
    if (idle === Boolean(widget.disabled) || followsAnother(widget)) continue;
    widget.disabled = idle;
    // Nodes 2.0 read the option at first. Later ones follow the widget, whose class has it as an accessor, and keep
    // what the option was when they first saw it.
    if (!Object.hasOwn(widget, "disabled")) continue;
    widget.options.disabled = idle;
    unseen = widget;
  }
  // The first ones look at all of a node's widgets again when one of them is set, though to what it is.
  if (globalThis.LiteGraph?.vueNodesMode) unseen?.callback?.(unseen.value);
}

/**
 * What is to be done after a run looks as its number does, and cannot be set.
 * @param {Comfy.Widget} widget
 */
function followsAnother(widget) {
  const own = Object.getOwnPropertyDescriptor(widget, "disabled");
  return own !== undefined && "get" in own && !own.set;
}

/**
 * @param {Comfy.Node} node
 * @param {string} name of an input
 */
export function isLinked(node, name) {
  return node.inputs?.some((input) => input.name === name && input.link != null) ?? false;
}
